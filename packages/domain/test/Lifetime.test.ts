import { assert, describe, it } from "@effect/vitest"
import { Duration, Option, Result, Schema } from "effect"
import { formatLifetime, Lifetime, parseLifetime } from "../src/Lifetime.ts"

const WholeSeconds = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 99_999_999 }))

/** Go's time.ParseDuration, as far as these spellings go. */
const secondsOf = (text: string) =>
  [...text.matchAll(/(\d+)([hms])/g)]
    .map(([, count, unit]) => Number(count) * (unit === "h" ? 3600 : unit === "m" ? 60 : 1))
    .reduce((sum, part) => sum + part, 0)

describe("Lifetime", () => {
  it.prop(
    "reads back what it writes, to the second",
    { seconds: WholeSeconds },
    ({ seconds }) => {
      const written = formatLifetime(Duration.seconds(seconds))
      assert.strictEqual(secondsOf(written), seconds)
      assert.deepStrictEqual(parseLifetime(written), Option.some(Duration.seconds(seconds)))
    },
    { arbitrary: { runs: 2000 } }
  )

  it.prop(
    "writes no unit that is zero",
    { seconds: WholeSeconds },
    ({ seconds }) => {
      assert.match(formatLifetime(Duration.seconds(seconds)), /^([1-9]\d*h)?([1-9]\d*m)?([1-9]\d*s)?$/)
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "reads any text or refuses it, and never a lifetime that is not above zero",
    { text: Schema.String },
    ({ text }) => {
      const lifetime = parseLifetime(text)
      if (Option.isSome(lifetime)) assert.isAbove(Duration.toMillis(lifetime.value), 0)
    },
    { arbitrary: { runs: 2000 } }
  )

  it("writes the shortest spelling", () => {
    const cases = [
      [86_400, "24h"],
      [5400, "1h30m"],
      [300, "5m"],
      [45, "45s"],
      [3601, "1h1s"],
      [0, "0s"]
    ] as const
    for (const [seconds, text] of cases) assert.strictEqual(formatLifetime(Duration.seconds(seconds)), text)
  })

  it("cuts a fraction of a second off when it writes, so that nothing lives longer than it says", () => {
    assert.strictEqual(formatLifetime(Duration.millis(1999)), "1s")
  })

  it("reads units in any number, in this order", () => {
    for (const [text, seconds] of [
      ["90m", 5400],
      ["0h5m", 300],
      ["1h90m", 9000],
      ["36h", 129_600]
    ] as const) {
      assert.deepStrictEqual(parseLifetime(text), Option.some(Duration.seconds(seconds)), text)
    }
  })

  it("refuses every other spelling and says what it takes", () => {
    const refused = ["", "24", "1d", "-1h", "+1h", "1.5h", "30m1h", "1h 30m", " 1h", "1H", "0s", "1h\n", "٣h"]
    for (const text of refused) {
      const decoded = Schema.decodeUnknownResult(Lifetime)(text)
      assert.isTrue(Result.isFailure(decoded), JSON.stringify(text))
      if (Result.isFailure(decoded)) {
        assert.include(decoded.failure.message, "a duration such as 24h, 90m or 1h30m")
      }
    }
  })

  it("is a Duration inside and its text outside", () => {
    const lifetime = Schema.decodeUnknownSync(Lifetime)("1h30m")
    assert.isTrue(Duration.equals(lifetime, Duration.minutes(90)))
    assert.strictEqual(Schema.encodeSync(Lifetime)(lifetime), "1h30m")
  })
})
