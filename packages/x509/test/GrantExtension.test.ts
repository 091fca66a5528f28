/** The codec is held to one encoding: whatever else it is given, it refuses, and says why. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Result, Schema } from "effect"
import {
  decodeValue,
  encode,
  type Extension,
  fromExtensions,
  type GrantExtensionFault,
  type GrantField,
  type ValueReason
} from "../src/GrantExtension.ts"
import { grantOids, mosaicArc } from "../src/Oid.ts"
import { mutation, octets, uuid } from "./support/Mutation.ts"

const id = "0f8fad5b-d9cb-469f-a165-70867728950e"
const user = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

const value = (...parts: ReadonlyArray<string | number>) =>
  new Uint8Array(
    Buffer.concat(
      parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.of(part)))
    )
  )

const valid = (text: string) => value(0x0c, 0x24, text)

/** What decoding may accept, said apart from the code under test. */
const isEncoding = (bytes: Uint8Array) =>
  /^0c24(?:3[0-9]|6[1-6]){8}(?:2d(?:3[0-9]|6[1-6]){4}){3}2d(?:3[0-9]|6[1-6]){12}$/.test(
    Buffer.from(bytes).toString("hex")
  )

const assertDecodes = (bytes: Uint8Array) => {
  const decoded = decodeValue(bytes)
  assert.strictEqual(Result.isSuccess(decoded), isEncoding(bytes))
  if (Result.isFailure(decoded)) assert.isNotEmpty(decoded.failure.message)
  else assert.strictEqual(decoded.success, Buffer.from(bytes.subarray(2)).toString("latin1"))
}

describe("GrantExtension value", () => {
  it("is a UTF8String of 36 octets", () => {
    assert.deepStrictEqual(
      Buffer.from(Result.getOrThrow(encode(id))).toString("hex"),
      "0c2430663866616435622d643963622d343639662d613136352d373038363737323839353065"
    )
  })

  it.prop(
    "comes back as it was encoded",
    { text: uuid },
    ({ text }) => {
      const encoded = Result.getOrThrow(encode(text))
      assert.deepStrictEqual(encoded, valid(text))
      assert.strictEqual(Result.getOrThrow(decodeValue(encoded)), text)
    },
    { arbitrary: { runs: 4000 } }
  )

  it.effect.prop(
    "that was damaged decodes only if the damage left an encoding",
    { text: uuid, damage: mutation },
    Effect.fnUntraced(function* ({ damage, text }) {
      const bytes = damage(yield* Effect.fromResult(encode(text)))
      assertDecodes(bytes)
    }),
    { arbitrary: { runs: 8000 } }
  )

  it.prop(
    "of arbitrary octets decodes only if they are an encoding",
    { bytes: octets(80) },
    ({ bytes }) => assertDecodes(bytes),
    { arbitrary: { runs: 3000, size: 80 } }
  )

  it.prop(
    "of arbitrary octets behind the right tag and length is refused",
    { bytes: octets(40) },
    ({ bytes }) => assertDecodes(Uint8Array.of(0x0c, 0x24, ...bytes)),
    { arbitrary: { runs: 2000, size: 40 } }
  )

  it("with any one octet replaced decodes only where another UUID results", () => {
    const bytes = valid(id)
    let accepted = 0
    for (let at = 0; at < bytes.length; at += 1) {
      for (let octet = 0; octet < 256; octet += 1) {
        assertDecodes(bytes.with(at, octet))
        if (Result.isSuccess(decodeValue(bytes.with(at, octet)))) accepted += 1
      }
      assertDecodes(bytes.subarray(0, at))
    }
    // 32 hexadecimal digits of 16 each; the tag, the length and the four hyphens stay as they are.
    assert.strictEqual(accepted, 32 * 16 + 6)
  })

  it.prop(
    "is not made of text that is not a canonical UUID",
    { text: Arbitrary.schema(Schema.String) },
    ({ text }) => {
      const encoded = encode(text)
      assert(Result.isFailure(encoded))
      assert.strictEqual(encoded.failure._tag, "NotUuid")
      assert.strictEqual(
        encoded.failure.message,
        `${JSON.stringify(text.slice(0, 64))} is not a canonical lower-case UUID`
      )
    },
    { arbitrary: { runs: 1000 } }
  )

  for (const text of [id.toUpperCase(), `{${id}}`, `urn:uuid:${id}`, `${id}\n`, id.replaceAll("-", ""), ""]) {
    it(`is not made of ${JSON.stringify(text)}`, () => {
      const encoded = encode(text)
      assert(Result.isFailure(encoded))
      assert.deepStrictEqual(encoded.failure, {
        _tag: "NotUuid",
        message: `${JSON.stringify(text)} is not a canonical lower-case UUID`
      })
    })
  }
})

const upper = id.toUpperCase()
const underscored = id.replaceAll("-", "_")

const refusals: ReadonlyArray<readonly [string, Uint8Array, ValueReason, string]> = [
  ["a PrintableString", value(0x13, 0x24, id), "WrongTag", "expected tag 0C (UTF8String), found 13"],
  ["an OCTET STRING", value(0x04, 0x24, id), "WrongTag", "expected tag 0C (UTF8String), found 04"],
  ["an IA5String", value(0x16, 0x24, id), "WrongTag", "expected tag 0C (UTF8String), found 16"],
  [
    "a constructed UTF8String",
    value(0x2c, 0x26, 0x0c, 0x24, id),
    "WrongTag",
    "expected tag 0C (UTF8String), found 2C"
  ],
  ["bare text", value(id), "WrongTag", "expected tag 0C (UTF8String), found 30"],
  [
    "a length in the long form",
    value(0x0c, 0x81, 0x24, id),
    "LongFormLength",
    "expected the short-form length 24, found 81"
  ],
  [
    "a length in the long form of two octets",
    value(0x0c, 0x82, 0x00, 0x24, id),
    "LongFormLength",
    "expected the short-form length 24, found 82"
  ],
  [
    "an indefinite length",
    value(0x0c, 0x80, id, 0, 0),
    "LongFormLength",
    "expected the short-form length 24, found 80"
  ],
  [
    "a length of one less",
    value(0x0c, 0x23, id),
    "WrongLength",
    "expected length 24 (36 octets), found 23 (35 octets)"
  ],
  [
    "a length of one more",
    value(0x0c, 0x25, id, 0x20),
    "WrongLength",
    "expected length 24 (36 octets), found 25 (37 octets)"
  ],
  [
    "an empty string",
    value(0x0c, 0x00),
    "WrongLength",
    "expected length 24 (36 octets), found 00 (0 octets)"
  ],
  ["nothing", value(), "Truncated", "the value is empty"],
  ["a tag alone", value(0x0c), "Truncated", "the value ends after its tag"],
  [
    "a UUID cut off",
    value(0x0c, 0x24, id.slice(0, 35)),
    "Truncated",
    "expected 36 octets after the length, found 35"
  ],
  ["an octet after the UUID", value(0x0c, 0x24, id, 0), "TrailingBytes", "1 octets follow the UUID"],
  [
    "a second value after the UUID",
    value(0x0c, 0x24, id, 0x05, 0),
    "TrailingBytes",
    "2 octets follow the UUID"
  ],
  ["an octet that is not ASCII", value(0x0c, 0x24, id.slice(0, 35), 0xe5), "NotAscii", "an octet above 7F"],
  ["upper case", value(0x0c, 0x24, upper), "UpperCase", `${upper} is not in lower case`],
  ["no UUID", value(0x0c, 0x24, underscored), "NotUuid", `"${underscored}" is not a canonical UUID`],
  [
    "a control character",
    value(0x0c, 0x24, id.slice(0, 35), 0),
    "NotUuid",
    `"${id.slice(0, 35)}\\u0000" is not a canonical UUID`
  ]
]

const oids = Result.getOrThrow(grantOids())

const extension = (field: GrantField, changes: Partial<Extension> = {}): Extension => ({
  oid: oids[field],
  critical: false,
  value: valid(field === "grantId" ? id : user),
  ...changes
})

const both = [extension("grantId"), extension("subjectUserId")]

describe("GrantExtension refuses", () => {
  for (const [what, bytes, tag, message] of refusals) {
    it(`${what}: ${tag}`, () => {
      const decoded = decodeValue(bytes)
      assert(Result.isFailure(decoded))
      assert.deepStrictEqual(decoded.failure, { _tag: tag, message })
      const read = fromExtensions([extension("grantId", { value: bytes }), extension("subjectUserId")], oids)
      assert(Result.isFailure(read))
      assert.deepStrictEqual(read.failure, { _tag: tag, field: "grantId", oid: oids.grantId, message })
    })
  }

  for (const field of ["grantId", "subjectUserId"] as const) {
    const others = both.filter(({ oid }) => oid !== oids[field])
    const cases: ReadonlyArray<readonly [GrantExtensionFault["_tag"], ReadonlyArray<Extension>, string]> = [
      ["Missing", others, "the extension is absent"],
      ["Duplicate", [...both, extension(field)], "the extension is there more than once"],
      [
        "Duplicate",
        [extension(field, { value: valid(user) }), ...both],
        "the extension is there more than once"
      ],
      ["Critical", [...others, extension(field, { critical: true })], "the extension is marked critical"]
    ]
    for (const [tag, extensions, message] of cases) {
      it(`${tag} ${field} among ${extensions.length} extensions`, () => {
        const read = fromExtensions(extensions, oids)
        assert(Result.isFailure(read))
        assert.deepStrictEqual(read.failure, { _tag: tag, field, oid: oids[field], message })
      })
    }
  }
})

describe("GrantExtension pair", () => {
  it.prop(
    "is read from among others in any order, and is refused without one of the two",
    {
      grantId: uuid,
      subjectUserId: uuid,
      other: octets(20),
      from: Arbitrary.schema(Schema.Literals([0, 1, 2]))
    },
    ({ from, grantId, other, subjectUserId }) => {
      const extensions = [
        extension("grantId", { value: valid(grantId) }),
        extension("subjectUserId", { value: valid(subjectUserId) }),
        { oid: "2.5.29.15", critical: true, value: other }
      ]
      const turned = [...extensions.slice(from), ...extensions.slice(0, from)]
      assert.deepStrictEqual(fromExtensions(turned, oids), Result.succeed({ grantId, subjectUserId }))
      for (const missing of [oids.grantId, oids.subjectUserId]) {
        const read = fromExtensions(
          turned.filter(({ oid }) => oid !== missing),
          oids
        )
        assert(Result.isFailure(read))
        assert.strictEqual(read.failure._tag, "Missing")
        assert.strictEqual(read.failure.oid, missing)
      }
    },
    { arbitrary: { runs: 1000 } }
  )

  it("is looked for under the arc that is configured, and under no other", () => {
    const own = Result.getOrThrow(grantOids("1.3.6.1.4.1.32473"))
    assert.deepStrictEqual(own, { grantId: "1.3.6.1.4.1.32473.1", subjectUserId: "1.3.6.1.4.1.32473.2" })
    const read = fromExtensions(both, own)
    assert(Result.isFailure(read))
    assert.strictEqual(read.failure._tag, "Missing")
    assert.deepStrictEqual(
      fromExtensions(
        [extension("grantId", { oid: own.grantId }), extension("subjectUserId", { oid: own.subjectUserId })],
        own
      ),
      Result.succeed({ grantId: id, subjectUserId: user })
    )
  })

  for (const arc of [
    "",
    "1",
    "1.40.3",
    "3.1",
    "1.3.06",
    "1.3.",
    ".1.3",
    "1.3.a",
    "1.3.-1",
    ` ${mosaicArc}`
  ]) {
    it(`has no arc ${JSON.stringify(arc)}`, () => {
      assert.deepStrictEqual(
        grantOids(arc),
        Result.fail({ message: `${JSON.stringify(arc)} is not an object identifier in dotted form` })
      )
    })
  }
})
