/** The reader takes DER and nothing that is merely BER, names the octet where it stops, and never throws. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import {
  childrenOf,
  type DerElement,
  type DerFault,
  readBitString,
  readBoolean,
  readElement,
  readInteger,
  readOid,
  readTime,
  readWhole,
  Tag
} from "../src/DerReader.ts"
import { bitString, boolean, element, integer, octetString, oid, sequence } from "./support/Der.ts"
import { octets } from "./support/Mutation.ts"

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"))

const elementOf = (der: Uint8Array) => Result.getOrThrow(readElement(der))

const fail = (offset: number, message: string): Result.Result<never, DerFault> =>
  Result.fail({ offset, message })

describe("DerReader elements", () => {
  it("have a tag, an offset, and contents of any length", () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
      const contents = new Uint8Array(length).fill(7)
      const raw = octetString(contents)
      const read = Result.getOrThrow(readWhole(raw, Tag.octetString))
      assert.deepStrictEqual(
        { tag: read.tag, raw: read.raw, contents: read.contents, offset: read.offset },
        { tag: 4, raw, contents, offset: 0 }
      )
    }
  })

  it("know where they begin in the whole input", () => {
    const outer = elementOf(sequence(integer(1n), sequence(boolean(true), octetString(new Uint8Array(200)))))
    const children = Result.getOrThrow(childrenOf(outer))
    const offsets = (elements: ReadonlyArray<DerElement>) => elements.map(({ offset }) => offset)
    assert.deepStrictEqual(offsets(children), [3, 6])
    assert.deepStrictEqual(
      children.slice(1).map((child) => offsets(Result.getOrThrow(childrenOf(child)))),
      [[9, 12]]
    )
  })

  const refused: ReadonlyArray<readonly [string, string, number, string]> = [
    ["nothing", "", 0, "an element is missing at octet 0"],
    ["a tag alone", "30", 1, "the length is cut off at octet 1"],
    ["a long tag", "1f 81 01 00", 0, "a tag number above 30 at octet 0"],
    ["an indefinite length", "30 80 00 00", 1, "indefinite length at octet 1"],
    ["a length of five octets", "30 85 00 00 00 00 00", 1, "a length of 5 octets at octet 1"],
    ["the reserved length", "30 ff", 1, "a length of 127 octets at octet 1"],
    ["a length that is cut off", "30 82 01", 1, "the length is cut off at octet 1"],
    ["a long form for a short length", "04 81 01 00", 1, "a length in more octets than it needs at octet 1"],
    ["a length with a leading zero", "04 82 00 80", 1, "a length in more octets than it needs at octet 1"],
    ["contents that are cut off", "04 05 01 02", 0, "an element of 5 octets is cut off at octet 0"],
    ["four gibibytes", "04 84 ff ff ff ff 00", 0, "an element of 4294967295 octets is cut off at octet 0"]
  ]
  for (const [what, hex, offset, message] of refused) {
    it(`are not made of ${what}`, () =>
      assert.deepStrictEqual(readElement(bytes(hex)), fail(offset, message)))
  }

  it("are not followed by anything, and have the tag that is wanted", () => {
    assert.deepStrictEqual(readWhole(bytes("05 00 00"), Tag.null), fail(2, "1 trailing octets at octet 2"))
    assert.deepStrictEqual(
      readWhole(bytes("05 00"), Tag.sequence),
      fail(0, "expected tag 0x30, found 0x05 at octet 0")
    )
  })

  it("name the octet of a fault inside", () => {
    assert.deepStrictEqual(
      childrenOf(elementOf(bytes("30 05 05 00 04 02 01"))),
      fail(4, "an element of 2 octets is cut off at octet 4")
    )
  })

  const everything = (element: DerElement, depth = 0): number => {
    const children = childrenOf(element)
    readInteger(element, "x")
    readOid(element, "x")
    readBoolean(element, "x")
    readBitString(element, "x")
    readTime(element, "x")
    if (Result.isFailure(children) || depth > 8) return element.raw.length
    const inside = children.success.map((child) => everything(child, depth + 1))
    return element.raw.length - element.contents.length + inside.reduce((sum, length) => sum + length, 0)
  }

  it.prop(
    "of arbitrary octets are read or refused, and cover exactly what they were read from",
    { input: octets(120) },
    ({ input }) => {
      const read = readElement(input)
      if (Result.isFailure(read)) {
        assert.isAtMost(read.failure.offset, input.length)
        assert.match(read.failure.message, / at octet \d+$/)
      } else {
        assert.strictEqual(everything(read.success), read.success.raw.length)
        assert.deepStrictEqual(input.subarray(0, read.success.raw.length), read.success.raw)
      }
    },
    { arbitrary: { runs: 3000, size: 120 } }
  )
})

describe("DerReader values", () => {
  it.prop(
    "INTEGER is read as it was written",
    { value: Arbitrary.schema(Schema.BigInt), bits: octets(24) },
    ({ bits, value }) => {
      const large = BigInt(`0x0${Buffer.from(bits).toString("hex")}`)
      const positive = value < 0n ? -value : value
      for (const number of [positive, large])
        assert.deepStrictEqual(readInteger(elementOf(integer(number)), "x"), Result.succeed(number))
    },
    { arbitrary: { runs: 1000, size: 24 } }
  )

  it("INTEGER is in two's complement and in the fewest octets", () => {
    const read = (hex: string) => readInteger(elementOf(bytes(hex)), "x")
    assert.deepStrictEqual(read("02 01 80"), Result.succeed(-128n))
    assert.deepStrictEqual(read("02 01 ff"), Result.succeed(-1n))
    assert.deepStrictEqual(read("02 02 ff 7f"), Result.succeed(-129n))
    assert.deepStrictEqual(read("02 02 00 80"), Result.succeed(128n))
    for (const hex of ["02 02 00 7f", "02 02 ff 80"])
      assert.deepStrictEqual(read(hex), fail(0, "x: an INTEGER in more octets than it needs at octet 0"))
    assert.deepStrictEqual(read("02 00"), fail(0, "x: an empty INTEGER at octet 0"))
    assert.deepStrictEqual(read("05 00"), fail(0, "x: expected tag 0x02, found 0x05 at octet 0"))
    assert.deepStrictEqual(readInteger(undefined, "x"), fail(0, "x is missing at octet 0"))
  })

  const arc = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_ffff }))
  const small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 39 }))

  it.prop(
    "OBJECT IDENTIFIER is read as it was written",
    {
      root: Arbitrary.schema(Schema.Literals([0, 1, 2])),
      second: small,
      others: Arbitrary.array(Arbitrary.schema(arc), { maxLength: 12 })
    },
    ({ others, root, second }) => {
      const dotted = [root, second, ...others].join(".")
      assert.deepStrictEqual(readOid(elementOf(oid(dotted)), "x"), Result.succeed(dotted))
    },
    { arbitrary: { runs: 1000 } }
  )

  it("OBJECT IDENTIFIER has whole arcs without leading zeros", () => {
    const read = (hex: string) => readOid(elementOf(bytes(hex)), "x")
    assert.deepStrictEqual(read("06 03 88 37 03"), Result.succeed("2.999.3"))
    assert.deepStrictEqual(read("06 09 2b 06 01 04 01 86 8d 1f 01"), Result.succeed("1.3.6.1.4.1.99999.1"))
    assert.deepStrictEqual(read("06 00"), fail(0, "x: an empty OBJECT IDENTIFIER at octet 0"))
    assert.deepStrictEqual(read("06 03 2b 80 01"), fail(0, "x: an arc with a leading zero at octet 0"))
    assert.deepStrictEqual(read("06 02 2b 86"), fail(0, "x: the last arc is cut off at octet 0"))
    assert.deepStrictEqual(read(`06 0b 2b ${"ff ".repeat(9)} 7f`), fail(0, "x: an arc above 2^63 at octet 0"))
  })

  it("BOOLEAN is 00 or FF", () => {
    assert.deepStrictEqual(readBoolean(elementOf(bytes("01 01 00")), "x"), Result.succeed(false))
    assert.deepStrictEqual(readBoolean(elementOf(bytes("01 01 ff")), "x"), Result.succeed(true))
    for (const hex of ["01 01 01", "01 00", "01 02 ff ff"])
      assert.deepStrictEqual(
        readBoolean(elementOf(bytes(hex)), "x"),
        fail(0, "x: not a DER BOOLEAN at octet 0")
      )
  })

  it("BIT STRING has at most seven unused bits, all zero", () => {
    const read = (hex: string) => readBitString(elementOf(bytes(hex)), "x")
    assert.deepStrictEqual(
      readBitString(elementOf(bitString(Buffer.of(0x80), 7)), "x"),
      Result.succeed({ unusedBits: 7, bytes: Uint8Array.of(0x80) })
    )
    assert.deepStrictEqual(read("03 01 00"), Result.succeed({ unusedBits: 0, bytes: new Uint8Array() }))
    for (const hex of ["03 00", "03 02 08 00", "03 01 01"])
      assert.deepStrictEqual(read(hex), fail(0, "x: not a BIT STRING at octet 0"))
    assert.deepStrictEqual(read("03 02 07 c0"), fail(0, "x: unused bits that are not zero at octet 0"))
  })

  const time = (tag: number, text: string) =>
    Result.map(readTime(elementOf(element(tag, Buffer.from(text, "latin1"))), "x"), (date) =>
      date.toISOString()
    )

  it("times are UTC, to the second, of either century", () => {
    for (const [tag, text, expected] of [
      [0x17, "260301120000Z", "2026-03-01T12:00:00.000Z"],
      [0x17, "491231235959Z", "2049-12-31T23:59:59.000Z"],
      [0x17, "500101000000Z", "1950-01-01T00:00:00.000Z"],
      [0x17, "240229000000Z", "2024-02-29T00:00:00.000Z"],
      [0x18, "20500101000000Z", "2050-01-01T00:00:00.000Z"],
      [0x18, "00010101000000Z", "0001-01-01T00:00:00.000Z"],
      [0x18, "99991231235959Z", "9999-12-31T23:59:59.000Z"]
    ] as const)
      assert.deepStrictEqual(time(tag, text), Result.succeed(expected))
  })

  it("times in another form, or of no calendar, are refused", () => {
    for (const [tag, text] of [
      [0x17, "2603011200Z"],
      [0x17, "260301120000"],
      [0x17, "260301120000+0100"],
      [0x17, "20260301120000Z"],
      [0x18, "260301120000Z"],
      [0x18, "20260301120000.5Z"],
      [0x18, "20260301120000Z\n"]
    ] as const)
      assert.deepStrictEqual(time(tag, text), fail(0, "x: not a time of RFC 5280 at octet 0"))
    for (const text of [
      "260230000000Z",
      "250229000000Z",
      "261301000000Z",
      "260001000000Z",
      "260301240000Z",
      "260301120060Z"
    ])
      assert.deepStrictEqual(time(0x17, text), fail(0, "x: no such time at octet 0"))
    assert.deepStrictEqual(time(0x0c, "260301120000Z"), fail(0, "x: expected a time, found 0x0c at octet 0"))
    assert.deepStrictEqual(readTime(undefined, "x"), fail(0, "x is missing at octet 0"))
  })
})
