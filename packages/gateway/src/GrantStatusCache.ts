/**
 * Answers whether a grant is active for those who ask often and decide nothing by it that lasts: verifiers, lists,
 * dashboards. An issuance or a renewal never asks here; it reads the grant's row under a lock. Every change of a row is
 * told by its own commit (`federation_grants` of migration 3), whoever made it, and is forgotten here at once. A life of
 * at most 30 s is the net below that.
 */
import { randomUUID } from "node:crypto"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Grant, type GrantStatus } from "@mosaic-federation/domain/Grant"
import type { GrantNotFound } from "@mosaic-federation/domain/GrantErrors"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Context, DateTime, Duration, Effect, Layer, Metric, Option, Queue, Schema } from "effect"
import { Redis } from "effect/persistence/Redis"
import { grantStatusAnswers } from "./server/Metrics.ts"
import { Valkey } from "./Valkey.ts"

export interface GrantStatusAnswer {
  readonly grantId: GrantId
  readonly status: GrantStatus
  readonly expiresAt: DateTime.Utc
  /** `cache`, or `row` where the database was asked. */
  readonly from: "cache" | "row"
}

/** Where grants are remembered. Each look-up comes with the way to remember what the row says, read after the look-up. */
interface Memory {
  readonly look: (id: GrantId) => Effect.Effect<{
    readonly grant: Option.Option<Grant>
    readonly keep: (grant: Grant) => Effect.Effect<void>
  }>
  readonly forget: (id: GrantId) => Effect.Effect<void>
  readonly forgetAll: Effect.Effect<void>
}

/** How long an answer is remembered at most. */
const standardLife = Duration.seconds(30)

/** Above this many the oldest are forgotten. */
const mostRemembered = 10_000

const changesChannel = "federation_grants"

const answered = { cache: grantStatusAnswers("cache"), row: grantStatusAnswers("row") }

const makeLocalMemory = (life: Duration.Duration) => {
  const remembered = new Map<GrantId, { readonly grant: Grant; readonly until: number }>()
  let changes = 0
  const look = (id: GrantId) =>
    Effect.clockWith((clock) =>
      Effect.sync(() => {
        const now = clock.currentTimeMillisUnsafe()
        const found = remembered.get(id)
        const seen = changes
        return {
          grant: found !== undefined && found.until > now ? Option.some(found.grant) : Option.none<Grant>(),
          // What was read before a change may be what it was before that change.
          keep: (grant: Grant) =>
            Effect.sync(() => {
              if (changes !== seen) return
              remembered.delete(id)
              remembered.set(id, { grant, until: now + Duration.toMillis(life) })
              for (const oldest of remembered.keys()) {
                if (remembered.size <= mostRemembered) break
                remembered.delete(oldest)
              }
            })
        }
      })
    )
  return {
    look,
    forget: (id) =>
      Effect.sync(() => {
        changes += 1
        remembered.delete(id)
      }),
    forgetAll: Effect.sync(() => {
      changes += 1
      remembered.clear()
    })
  } satisfies Memory
}

const GrantText = Schema.fromJsonString(Schema.toCodecJson(Grant))
const encodeGrant = Schema.encodeEffect(GrantText)
const decodeGrant = Schema.decodeUnknownOption(GrantText)

const epochKey = "mosaic:grant-status:epoch"
const tokenKey = (id: GrantId) => `mosaic:grant-status:token:${id}`
const grantKey = (id: GrantId) => `mosaic:grant-status:grant:${id}`

/** Longer than any value that was stored under it lives. */
const tokenSeconds = "3600"

/**
 * In Valkey a value is good for the epoch and the token of its grant that it was stored under, both random. To forget a
 * grant is to delete its token: a value that was read from the row before that, and stored after, has no token to match.
 * To forget all is a new epoch, and every gateway begins one with each new connection, because what it wanted to forget
 * while there was none may still be stored.
 */
const makeValkeyMemory = Effect.fnUntraced(function* (life: Duration.Duration) {
  const redis = yield* Redis
  const valkey = yield* Valkey
  let epochOf: number | undefined
  const none = { grant: Option.none<Grant>(), keep: () => Effect.void }

  const newEpoch = Effect.gen(function* () {
    const session = yield* valkey.session
    yield* redis.send("SET", epochKey, randomUUID())
    epochOf = session
  })

  /** False where nothing that is stored may be believed. */
  const isCurrent = Effect.gen(function* () {
    const session = yield* valkey.session
    if (session === undefined) return false
    if (session !== epochOf) yield* newEpoch
    return true
  })

  /** The one that is there, or a new one. */
  const token = Effect.fnUntraced(function* (key: string, found: string | null) {
    if (found !== null) return found
    const fresh = randomUUID()
    return (yield* redis.send<string | null>("SET", key, fresh, "NX", "GET", "EX", tokenSeconds)) ?? fresh
  })

  const look = Effect.fn("GrantStatusCache.look")(
    function* (id: GrantId) {
      if (!(yield* isCurrent)) return none
      const [epoch = null, own = null, stored = null] = yield* redis.send<ReadonlyArray<string | null>>(
        "MGET",
        epochKey,
        tokenKey(id),
        grantKey(id)
      )
      const label = `${yield* token(epochKey, epoch)} ${yield* token(tokenKey(id), own)} `
      return {
        grant:
          stored?.startsWith(label) === true
            ? Option.filter(decodeGrant(stored.slice(label.length)), (grant) => grant.id === id)
            : Option.none<Grant>(),
        keep: (grant: Grant) =>
          encodeGrant(grant).pipe(
            Effect.flatMap((text) =>
              redis.send("SET", grantKey(id), label + text, "PX", String(Math.round(Duration.toMillis(life))))
            ),
            Effect.ignore
          )
      }
    },
    Effect.catch(() => Effect.succeed(none))
  )

  const forgetAll = newEpoch.pipe(
    Effect.catch(() =>
      Effect.sync(() => {
        epochOf = undefined
      })
    )
  )

  return {
    look,
    forgetAll,
    forget: (id) =>
      // A deletion that may not have reached it must not be the only one.
      redis.send("DEL", tokenKey(id), grantKey(id)).pipe(
        Effect.catch(() => forgetAll),
        Effect.asVoid
      )
  } satisfies Memory
})

const make = Effect.fnUntraced(function* (memory: Memory) {
  const grants = yield* GrantRepo
  const pg = yield* PgClient.PgClient
  let hearing = false

  /** While nobody tells of changes, nothing is answered from memory. */
  const listen = Effect.gen(function* () {
    const notices = yield* pg.listen(changesChannel)
    yield* memory.forgetAll
    hearing = true
    return yield* Effect.forever(
      Effect.flatMap(Queue.take(notices), ({ payload }) =>
        Option.match(Schema.decodeUnknownOption(GrantId)(payload), {
          onNone: () => memory.forgetAll,
          onSome: memory.forget
        })
      )
    )
  }).pipe(
    Effect.scoped,
    Effect.ensuring(
      Effect.sync(() => {
        hearing = false
      })
    ),
    Effect.catch((error) =>
      Effect.logWarning("changes of grants are not heard: the cache rests until they are", {
        reason: error.message
      })
    ),
    Effect.andThen(Effect.sleep("1 second"))
  )
  yield* Effect.forkScoped(Effect.forever(listen))

  return GrantStatusCache.of({
    status: Effect.fn("GrantStatusCache.status")(function* (grantId: GrantId) {
      const now = yield* DateTime.now
      const { grant, keep } = hearing ? yield* memory.look(grantId) : unheard
      const answer = (found: Grant, from: "cache" | "row") =>
        Effect.as(Metric.update(answered[from], 1), {
          grantId,
          status: found.statusAt(now),
          expiresAt: found.expiresAt,
          from
        } satisfies GrantStatusAnswer)
      if (Option.isSome(grant)) return yield* answer(grant.value, "cache")
      const row = yield* grants.find(grantId)
      yield* keep(row)
      return yield* answer(row, "row")
    }),
    forget: memory.forget
  })
})

const unheard = { grant: Option.none<Grant>(), keep: () => Effect.void }

export class GrantStatusCache extends Context.Service<
  GrantStatusCache,
  {
    readonly status: (id: GrantId) => Effect.Effect<GrantStatusAnswer, GrantNotFound | StorageError>
    /** For who has changed a grant and will not wait the moment until the commit's notice comes round. */
    readonly forget: (id: GrantId) => Effect.Effect<void>
  }
>()("@mosaic-federation/gateway/GrantStatusCache") {
  /** Within the process; changes by other processes are heard as well. */
  static readonly layerLocal = (life = standardLife) =>
    Layer.effect(
      GrantStatusCache,
      Effect.suspend(() => make(makeLocalMemory(life)))
    )

  /** Shared by all replicas. While Valkey is away the row is read each time. */
  static readonly layerValkey = (life = standardLife) =>
    Layer.effect(GrantStatusCache, Effect.flatMap(makeValkeyMemory(life), make))
}
