/** PEM is base64 and nothing else, in lines of whatever length, and comes back in lines of 64 characters. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import { formatPem, parsePem } from "../src/Pem.ts"
import { octets } from "./support/Mutation.ts"

const label = "CERTIFICATE"

const inLines = (base64: string, length: number, end: string) =>
  [
    `-----BEGIN ${label}-----`,
    ...(base64.match(new RegExp(`.{1,${length}}`, "g")) ?? []),
    `-----END ${label}-----`
  ].join(end)

const base64Of = (der: Uint8Array) => Buffer.from(der).toString("base64")

describe("PEM", () => {
  it.prop(
    "of any layout is read alike and written in one",
    {
      der: octets(300),
      length: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 400 }))),
      end: Arbitrary.schema(Schema.Literals(["\n", "\r\n", " \n", "\n\t"]))
    },
    ({ der, end, length }) => {
      const pem = formatPem(label, der)
      const expected = der.length === 0 ? undefined : [{ label, der, pem }]
      for (const text of [
        pem,
        inLines(base64Of(der), length, end),
        ` ${inLines(base64Of(der), 64, end)}\n\n`
      ])
        assert.deepStrictEqual(Result.getOrUndefined(parsePem(text)), expected)
    },
    { arbitrary: { runs: 1000, size: 300 } }
  )

  it("in several blocks keeps their order", () => {
    const ders = [1, 48, 49, 200].map((length) => new Uint8Array(length).fill(length))
    const text = ders.map((der) => formatPem(label, der)).join("\n")
    assert.deepStrictEqual(
      Result.getOrThrow(parsePem(text)).map(({ der }) => der),
      ders
    )
  })

  it("with bits after the last octet is read, and written without them", () => {
    const [read] = Result.getOrThrow(parsePem(inLines("MAB=", 64, "\n")))
    assert.deepStrictEqual(read, {
      label,
      der: Uint8Array.of(0x30, 0x00),
      pem: formatPem(label, Uint8Array.of(0x30, 0x00))
    })
  })

  // Each of them is octets to Buffer, which skips what it does not know.
  for (const body of [
    "",
    "MA",
    "MAA",
    "MAA==",
    "MA=A",
    "MAA-",
    "MAA_",
    "MAA*",
    "MAAé",
    "MAAA\u{B}MAAA",
    "=MAA"
  ]) {
    it(`is not ${JSON.stringify(body)}`, () =>
      assert.deepStrictEqual(
        parsePem(inLines(body, 64, "\n")),
        Result.fail(`the block ${label} is not base64`)
      ))
  }
})
