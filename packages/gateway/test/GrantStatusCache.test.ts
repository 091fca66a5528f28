import { assert, describe, layer } from "@effect/vitest"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { federated } from "@mosaic-federation/testing/federated"
import { Deferred, Duration, Effect, Fiber, Layer } from "effect"
import { Redis } from "effect/persistence/Redis"
import { SqlClient } from "effect/sql/SqlClient"
import { GrantStatusCache } from "../src/GrantStatusCache.ts"
import { Valkey } from "../src/Valkey.ts"
import { layerRecords, makeGrant } from "./support/federatedRecords.ts"
import { type OwnValkey, ownValkey } from "./support/ownValkey.ts"
import { until } from "./support/until.ts"

const options = { patience: Duration.seconds(3), heartbeat: Duration.millis(100) }

const status = (id: GrantId) => GrantStatusCache.use((cache) => cache.status(id))

const replicaOver = (server: OwnValkey) =>
  GrantStatusCache.layerValkey().pipe(Layer.provideMerge(Valkey.layer(server.address, options)))

/** The cache answers only once it hears of changes. */
const remembered = (id: GrantId) => until(Effect.map(status(id), ({ from }) => from === "cache"))

const isNow = (id: GrantId, expected: string) =>
  until(Effect.map(status(id), ({ status }) => status === expected))

const changes = (id: GrantId) =>
  [
    [
      "suspended",
      SqlClient.use((sql) => sql`UPDATE federation_grants SET status = 'suspended' WHERE id = ${id}`)
    ],
    ["active", SqlClient.use((sql) => sql`UPDATE federation_grants SET status = 'active' WHERE id = ${id}`)],
    [
      "expired",
      SqlClient.use(
        (sql) => sql`UPDATE federation_grants SET expires_at = now() - interval '1 s' WHERE id = ${id}`
      )
    ],
    ["revoked", GrantRepo.use((grants) => grants.revoke(id, "over"))]
  ] as const

const forgetsEveryChange = Effect.gen(function* () {
  const grant = yield* makeGrant
  for (const [expected, change] of changes(grant.id)) {
    yield* remembered(grant.id)
    yield* change
    yield* isNow(grant.id, expected)
  }
})

describe("GrantStatusCache", () => {
  layer(layerRecords, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    // Its life is longer than any test waits: nothing here is forgotten because that is over.
    it.effect("remembers within the process, and forgets every change of the row", () =>
      Effect.provide(forgetsEveryChange, GrantStatusCache.layerLocal(Duration.hours(1)))
    )

    it.effect("tells that there is no such grant, and does not remember it", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        yield* SqlClient.use((sql) => sql`DELETE FROM federation_grants WHERE id = ${grant.id}`)
        const error = yield* Effect.flip(status(grant.id))
        assert.strictEqual(error.code, "GRANT_NOT_FOUND")
        assert.strictEqual(error.remediation, "list the grants there are: mosaic federation grant list")
      }).pipe(Effect.provide(GrantStatusCache.layerLocal()))
    )

    it.effect("is forgotten after its life without any notice", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        yield* remembered(grant.id)
        yield* until(Effect.map(status(grant.id), ({ from }) => from === "row"))
      }).pipe(Effect.provide(GrantStatusCache.layerLocal(Duration.millis(50))))
    )
  })
})

federated("GrantStatusCache in Valkey", () => {
  layer(layerRecords, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("remembers for all replicas in Valkey, and forgets every change of the row", () =>
      Effect.gen(function* () {
        const server = yield* ownValkey
        const one = yield* Layer.build(replicaOver(server))
        const two = yield* Layer.build(Layer.fresh(replicaOver(server)))
        const grant = yield* makeGrant
        yield* Effect.provide(remembered(grant.id), one)
        assert.strictEqual((yield* Effect.provide(status(grant.id), two)).from, "cache")
        for (const [expected, change] of changes(grant.id)) {
          yield* Effect.provide(remembered(grant.id), one)
          yield* change
          yield* Effect.provide(isNow(grant.id, expected), one)
          yield* Effect.provide(isNow(grant.id, expected), two)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("does not remember what was read before a change and stored after it", () =>
      Effect.gen(function* () {
        const server = yield* ownValkey
        const grants = yield* GrantRepo
        let read = yield* Deferred.make<void>()
        let goOn = yield* Deferred.make<void>()
        let slow = false
        const slowGrants = Layer.succeed(GrantRepo, {
          ...grants,
          find: (id: GrantId) =>
            grants
              .find(id)
              .pipe(
                Effect.tap(() =>
                  slow ? Effect.andThen(Deferred.succeed(read, undefined), Deferred.await(goOn)) : Effect.void
                )
              )
        })
        for (const cache of [replicaOver(server), GrantStatusCache.layerLocal()]) {
          read = yield* Deferred.make<void>()
          goOn = yield* Deferred.make<void>()
          const grant = yield* makeGrant
          const other = yield* makeGrant
          yield* Effect.gen(function* () {
            yield* remembered(other.id)
            slow = true
            const late = yield* Effect.forkChild(status(grant.id))
            yield* Deferred.await(read)
            slow = false
            yield* grants.revoke(grant.id, "over")
            yield* GrantStatusCache.use(({ forget }) => forget(grant.id))
            yield* Deferred.succeed(goOn, undefined)
            assert.strictEqual((yield* Fiber.join(late)).status, "active")
            const next = yield* status(grant.id)
            assert.deepStrictEqual([next.status, next.from], ["revoked", "row"])
          }).pipe(Effect.provide(Layer.provide(Layer.fresh(cache), slowGrants)))
        }
      }).pipe(Effect.scoped)
    )

    it.effect("answers from the row while Valkey is away, and believes nothing from before the outage", () =>
      Effect.gen(function* () {
        const server = yield* ownValkey
        const grants = yield* GrantRepo
        const sql = yield* SqlClient
        const replica = yield* Layer.build(replicaOver(server))
        const ask = (id: GrantId) => Effect.provide(status(id), replica)
        const isBack = until(
          Effect.provide(
            Valkey.use(({ session }) => Effect.map(session, (number) => number !== undefined)),
            replica
          )
        )
        for (const [begin, end] of [
          ["stop", "start"],
          ["kill9", "start"],
          ["freeze", "thaw"]
        ] as const) {
          const grant = yield* makeGrant
          yield* Effect.provide(remembered(grant.id), replica)
          // The append-only file is written to the disk once a second.
          yield* Effect.provide(
            Redis.use((redis) => redis.send("WAITAOF", "1", "0", "1000")),
            replica
          )
          yield* server[begin]
          yield* sql`UPDATE federation_grants SET status = 'suspended' WHERE id = ${grant.id}`
          const during = yield* ask(grant.id)
          assert.deepStrictEqual([during.status, during.from], ["suspended", "row"], begin)
          yield* grants.revoke(grant.id, "over")
          yield* server[end]
          yield* isBack
          const since = yield* ask(grant.id)
          assert.deepStrictEqual([since.status, since.from], ["revoked", "row"], begin)
          yield* Effect.provide(remembered(grant.id), replica)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("takes damage in Valkey for nothing remembered", () =>
      Effect.gen(function* () {
        const server = yield* ownValkey
        const grant = yield* makeGrant
        yield* Effect.gen(function* () {
          const redis = yield* Redis
          yield* remembered(grant.id)
          const key = `mosaic:grant-status:grant:${grant.id}`
          const stored = yield* redis.send<string>("GET", key)
          for (const damaged of [
            "",
            "x",
            stored.slice(0, -5),
            stored.replaceAll(
              grant.id,
              grant.id.replace(/^./, (digit) => (digit === "0" ? "1" : "0"))
            )
          ]) {
            yield* redis.send("SET", key, damaged)
            const answer = yield* status(grant.id)
            assert.deepStrictEqual([answer.status, answer.from], ["active", "row"], damaged)
          }
          yield* redis.send("DEL", key)
          yield* redis.send("LPUSH", key, "of another type")
          assert.strictEqual((yield* status(grant.id)).from, "row")
        }).pipe(Effect.provide(replicaOver(server)))
      }).pipe(Effect.scoped)
    )
  })
})
