/** Grant ids, user ids and serial numbers: one canonical spelling each, and a reason for every other. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { GrantId } from "../src/GrantId.ts"
import { SerialNumber } from "../src/SerialNumber.ts"
import { UserId } from "../src/UserId.ts"

const uuid = "9f8c2a1e-5b7d-4c3f-8a60-1d2e3f405162"

const refusalOf = (schema: Schema.Codec<unknown, unknown>, value: unknown): string => {
  const decoded = Schema.decodeUnknownResult(schema)(value)
  assert.isTrue(Result.isFailure(decoded), `accepted ${String(value)}`)
  return Result.isFailure(decoded) ? decoded.failure.message : ""
}

for (const [name, schema] of [
  ["GrantId", GrantId],
  ["UserId", UserId]
] as const) {
  describe(`The schema ${name}`, () => {
    it("accepts canonical lower-case UUIDs of any version", () => {
      const accepted = [
        uuid,
        randomUUID(),
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "01890a5d-ac96-774b-bcce-b302099a8057"
      ]
      for (const value of accepted) {
        assert.strictEqual<string>(Schema.decodeUnknownSync(schema)(value), value)
      }
    })

    it("refuses every other spelling and says what it takes", () => {
      const refused = [
        uuid.toUpperCase(),
        uuid.replaceAll("-", ""),
        `{${uuid}}`,
        `urn:uuid:${uuid}`,
        ` ${uuid}`,
        `${uuid}\n`,
        uuid.slice(1),
        `${uuid}0`,
        uuid.replace("a", "g"),
        uuid.replace("-", "\u2010"),
        ""
      ]
      for (const value of refused) {
        assert.include(refusalOf(schema, value), "a canonical lower-case UUID")
      }
    })

    it("refuses what is not a string", () => {
      for (const value of [7, null, undefined, [uuid], { id: uuid }]) {
        assert.include(refusalOf(schema, value), "Expected string")
      }
    })
  })
}

describe("SerialNumber", () => {
  it("accepts 19 to 39 decimal digits without a zero before them", () => {
    for (const value of ["1".repeat(19), "9".repeat(39), String(2n ** 127n - 1n)]) {
      assert.strictEqual<string>(Schema.decodeUnknownSync(SerialNumber)(value), value)
    }
  })

  it("refuses every other spelling and says what it takes", () => {
    const serial = "98037421659023847561029384756102938475"
    const refused = [
      "",
      "0",
      "1".repeat(18),
      "1".repeat(40),
      `0${serial}`,
      `-${serial}`,
      `+${serial}`,
      ` ${serial}`,
      `${serial}\n`,
      BigInt(serial).toString(16),
      "1e20"
    ]
    for (const value of refused) {
      assert.include(refusalOf(SerialNumber, value), "a positive decimal number of 19 to 39 digits")
    }
    assert.include(refusalOf(SerialNumber, 12_345_678_901_234_567_890n), "Expected string")
  })
})
