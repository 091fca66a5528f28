import { assert, describe, it } from "@effect/vitest"
import { federated } from "@mosaic-federation/testing/federated"
import { Duration, Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { type RateLimit, RateLimits } from "../src/RateLimits.ts"
import { Valkey } from "../src/Valkey.ts"
import { ownValkey } from "./support/ownValkey.ts"
import { until } from "./support/until.ts"

const limit: RateLimit = { name: "certificates", limit: 3, window: Duration.minutes(1) }

const countOf = (limit: RateLimit) => (key: string) => RateLimits.use((limits) => limits.count(limit, key))

const count = countOf(limit)

const useUp = (key: string, once = count) => Effect.repeat(once(key), { times: limit.limit - 1 })

/** What is logged in an outage is looked at where it is what the test is about. */
const silent = Logger.layer([])

const options = { patience: Duration.seconds(3), heartbeat: Duration.millis(100) }

describe("RateLimits", () => {
  it.effect("refuses the fourth of three, says when to come again, and lets it in then", () =>
    Effect.gen(function* () {
      yield* useUp("peer.example")
      const { code, httpStatus, message, remediation, retryable, retryAfterSeconds } = yield* Effect.flip(
        count("peer.example")
      )
      assert.deepStrictEqual(
        { code, httpStatus, message, remediation, retryable },
        {
          code: "RATE_LIMITED",
          httpStatus: 429,
          message: "the limit certificates allows 3 in 60 s, and they are used up for 20 s",
          remediation: "ask again in 20 s",
          retryable: true
        }
      )
      yield* count("other.example")
      yield* TestClock.adjust(Duration.seconds(retryAfterSeconds - 1))
      assert.strictEqual((yield* Effect.flip(count("peer.example"))).retryAfterSeconds, 1)
      yield* TestClock.adjust(Duration.seconds(1))
      yield* count("peer.example")
      yield* Effect.flip(count("peer.example"))
    }).pipe(Effect.provide(RateLimits.layerLocal))
  )

  it.effect("forgets keys that are full again, and none that is not", () =>
    Effect.gen(function* () {
      for (let key = 0; key < 10_000; key++) yield* count(`passing ${key}`)
      yield* TestClock.adjust(Duration.seconds(50))
      yield* useUp("busy")
      yield* TestClock.adjust(Duration.seconds(15))
      yield* useUp("one more")
      yield* Effect.flip(count("one more"))
      yield* Effect.flip(count("busy"))
    }).pipe(Effect.provide(RateLimits.layerLocal))
  )

  it.effect("tells long keys apart", () =>
    Effect.gen(function* () {
      yield* useUp("x".repeat(100_000))
      yield* Effect.flip(count("x".repeat(100_000)))
      yield* count("x".repeat(100_001))
    }).pipe(Effect.provide(RateLimits.layerLocal))
  )
})

federated("RateLimits in Valkey", () => {
  it.live("counts over all replicas together, and by itself while Valkey is away", () =>
    Effect.gen(function* () {
      const server = yield* ownValkey
      // Nothing is given back while the test runs.
      const count = countOf({ ...limit, window: Duration.hours(1) })
      const replica = RateLimits.layerValkey.pipe(Layer.provideMerge(Valkey.layer(server.address, options)))
      const one = yield* Layer.build(replica)
      const two = yield* Layer.build(Layer.fresh(replica))
      yield* Effect.provide(useUp("peer.example", count), one)
      const refusal = yield* Effect.flip(Effect.provide(count("peer.example"), two))
      assert.deepStrictEqual(
        [refusal.limit, refusal.allowed, refusal.windowSeconds],
        ["certificates", 3, 3600]
      )
      assert.isTrue(refusal.retryAfterSeconds >= 1 && refusal.retryAfterSeconds <= 1200)

      for (const [begin, end] of [
        ["stop", "start"],
        ["kill9", "start"],
        ["freeze", "thaw"]
      ] as const) {
        yield* server[begin]
        const key = `during ${begin}`
        // The first of them meets the outage itself.
        yield* Effect.provide(useUp(key, count), one)
        yield* Effect.flip(Effect.provide(count(key), one))
        yield* Effect.provide(count(key), two)
        yield* server[end]
        for (const each of [one, two]) {
          yield* until(
            Effect.provide(
              Valkey.use(({ session }) => Effect.map(session, (it) => it !== undefined)),
              each
            )
          )
        }
        assert.strictEqual(
          (yield* Effect.flip(Effect.provide(count("peer.example"), two))).code,
          "RATE_LIMITED"
        )
      }
    }).pipe(Effect.scoped, Effect.provide(silent))
  )
})
