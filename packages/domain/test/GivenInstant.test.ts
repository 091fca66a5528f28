import { assert, describe, it } from "@effect/vitest"
import { DateTime, Option, Schema } from "effect"
import { GivenInstant } from "../src/GivenInstant.ts"

const read = (text: string) => Option.map(Schema.decodeOption(GivenInstant)(text), DateTime.formatIso)

describe("GivenInstant", () => {
  it("reads RFC 3339 with its zone, in UTC", () => {
    for (const [text, instant] of [
      ["2027-01-31T12:00:00Z", "2027-01-31T12:00:00.000Z"],
      ["2027-01-31t12:00:00.123456789z", "2027-01-31T12:00:00.123Z"],
      ["2027-01-01T01:30:00+02:00", "2026-12-31T23:30:00.000Z"],
      ["2027-12-31T23:30:00-00:45", "2028-01-01T00:15:00.000Z"],
      ["2028-02-29T00:00:00Z", "2028-02-29T00:00:00.000Z"],
      ["0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"],
      ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"]
    ] as const) {
      assert.deepStrictEqual(read(text), Option.some(instant))
    }
  })

  it.prop(
    "reads back what it writes",
    {
      millis: Schema.Int.check(
        Schema.isBetween({ minimum: -62_167_219_200_000, maximum: 253_402_300_799_999 })
      )
    },
    ({ millis }) => {
      const written = Schema.encodeSync(GivenInstant)(DateTime.makeUnsafe(millis))
      assert.deepStrictEqual(read(written), Option.some(new Date(millis).toISOString()))
    },
    { arbitrary: { runs: 2000 } }
  )

  it("refuses what the calendar has not, what has no zone, and other forms", () => {
    for (const text of [
      "2027-02-31T00:00:00Z",
      "2027-02-29T00:00:00Z",
      "2027-04-31T00:00:00+02:00",
      "2027-13-01T00:00:00Z",
      "2027-00-10T00:00:00Z",
      "2027-01-00T00:00:00Z",
      "2027-01-31T24:00:00Z",
      "2027-01-31T12:60:00Z",
      "2027-01-31T12:00:61Z",
      "2027-01-31T12:00:00+24:00",
      "2027-01-31T12:00:00+02:60",
      "2027-01-31T12:00:00",
      "2027-01-31 12:00:00Z",
      "2027-01-31",
      "2027",
      "12/20/2026",
      "+275000-01-01T00:00:00Z",
      "9999-12-31T23:59:59-01:00",
      "0000-01-01T00:00:00+01:00",
      ""
    ]) {
      assert.deepStrictEqual(read(text), Option.none(), text)
    }
  })
})
