/**
 * Counts requests and refuses those above a limit. In the federated tier all replicas count together, in Valkey; while
 * that is away, and in the local tier, each process counts for itself. A limit is never switched off by an outage.
 */
import { createHash } from "node:crypto"
import { RateLimited } from "@mosaic-federation/domain/RequestErrors"
import { Clock, Context, Duration, Effect, Layer } from "effect"
import * as RateLimiter from "effect/persistence/RateLimiter"

/** At most `limit` at once, and as many again spread evenly over each `window`. */
export interface RateLimit {
  /** Names it in refusals and in Valkey's keys: lower-case words with hyphens. */
  readonly name: string
  readonly limit: number
  readonly window: Duration.Duration
}

/** Above this many keys, those whose window has passed, and which are therefore full again, are forgotten. */
const manyKeys = 10_000

/** Whoever sends long keys shall not fill the memory. */
const longestKey = 200

const consume = (limiter: RateLimiter.RateLimiter, { limit, name, window }: RateLimit, key: string) =>
  limiter.consume({ algorithm: "token-bucket", onExceeded: "fail", key: `${name}:${key}`, limit, window })

const makeLocal = () => {
  const known = new Map<string, { readonly limiter: RateLimiter.RateLimiter; fullAt: number }>()

  const forgetFull = (now: number) => {
    for (const [key, { fullAt }] of known) if (fullAt <= now) known.delete(key)
  }

  return (limit: RateLimit, key: string) =>
    Clock.clockWith((clock) => {
      const now = clock.currentTimeMillisUnsafe()
      if (known.size >= manyKeys) forgetFull(now)
      const name = `${limit.name}:${key}`
      const fullAt = now + Duration.toMillis(limit.window)
      const own = known.get(name)
      if (own !== undefined) {
        own.fullAt = fullAt
        return consume(own.limiter, limit, key)
      }
      return Effect.flatMap(Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory), (limiter) => {
        known.set(name, { limiter, fullAt })
        return consume(limiter, limit, key)
      })
    })
}

const refused = ({ limit, name, window }: RateLimit, retryAfter: Duration.Duration) =>
  new RateLimited({
    limit: name,
    allowed: limit,
    windowSeconds: Math.round(Duration.toSeconds(window)),
    // RFC 9110 §10.2.3: Retry-After has whole seconds; up, so that nobody comes too early.
    retryAfterSeconds: Math.max(1, Math.ceil(Duration.toSeconds(retryAfter)))
  })

/** A limit's answer, without what it says of the next request. */
const answered = (limit: RateLimit, counted: Effect.Effect<unknown, RateLimiter.RateLimiterError>) =>
  Effect.matchEffect(counted, {
    onSuccess: () => Effect.void,
    onFailure: ({ reason }) =>
      reason._tag === "RateLimitExceeded"
        ? Effect.fail(refused(limit, reason.retryAfter))
        : Effect.die(reason)
  })

const boundedKey = (key: string) =>
  key.length <= longestKey ? key : createHash("sha256").update(key).digest("base64url")

export class RateLimits extends Context.Service<
  RateLimits,
  {
    /** Counts one request of `key`: a peer, a grant, an address. */
    readonly count: (limit: RateLimit, key: string) => Effect.Effect<void, RateLimited>
  }
>()("@mosaic-federation/gateway/RateLimits") {
  static readonly layerLocal = Layer.sync(RateLimits, () => {
    const local = makeLocal()
    return RateLimits.of({
      count: (limit, key) => answered(limit, local(limit, boundedKey(key)))
    })
  })

  /** Needs `Redis`, which `Valkey.layer` provides. */
  static readonly layerValkey = Layer.effect(
    RateLimits,
    Effect.gen(function* () {
      const shared = yield* RateLimiter.RateLimiter
      const local = makeLocal()
      return RateLimits.of({
        count: (limit, key) =>
          answered(
            limit,
            consume(shared, limit, boundedKey(key)).pipe(
              Effect.catch((error) =>
                error.reason._tag === "RateLimitStoreError"
                  ? local(limit, boundedKey(key))
                  : Effect.fail(error)
              )
            )
          )
      })
    })
  ).pipe(
    Layer.provide(RateLimiter.layer),
    Layer.provide(RateLimiter.layerStoreRedis({ prefix: "mosaic:rate:" }))
  )
}
