import { randomBytes, randomUUID } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { ApiKeyId } from "@mosaic-federation/domain/ApiKey"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { UserId } from "@mosaic-federation/domain/UserId"
import { ApiKeyRotated } from "@mosaic-federation/domain/ServerErrors"
import { DateTime, Effect, Layer, Option, Result } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { ApiKeyRepo } from "../src/ApiKeyRepo.ts"
import { GrantRepo } from "../src/GrantRepo.ts"
import { databaseOfItsOwn } from "./support/databaseOfItsOwn.ts"

const TestLayer = Layer.mergeAll(ApiKeyRepo.layerNoDeps, GrantRepo.layerNoDeps).pipe(
  Layer.provideMerge(databaseOfItsOwn)
)

const newKeyId = () => ApiKeyId.make(randomBytes(8).toString("hex"))

const aKey = Effect.fnUntraced(function* (name: string) {
  const keys = yield* ApiKeyRepo
  const id = newKeyId()
  const keySha256 = randomBytes(32).toString("hex")
  yield* keys.create({
    id,
    name,
    scope: "issue",
    keySha256,
    createdAt: DateTime.makeUnsafe("2026-03-01T10:00:00Z"),
    expiresAt: null
  })
  return { id, keySha256 }
})

const aGrant = Effect.gen(function* () {
  const grants = yield* GrantRepo
  return yield* grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("peer.example"),
      scopes: ["files:read"],
      expiresAt: DateTime.makeUnsafe(Date.now() + 3_600_000)
    })
  )
})

layer(TestLayer, { excludeTestServices: true })("API keys", (it) => {
  describe("looked for at once, each with the grant that is wanted with it", () => {
    it.effect("are each found with their own", () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyRepo
        const alice = yield* aKey("alice")
        const bob = yield* aKey("bob")
        const one = yield* aGrant
        const other = yield* aGrant
        const asked: ReadonlyArray<readonly [ApiKeyId, GrantId?]> = [
          [alice.id, one.id],
          [bob.id, one.id],
          [alice.id, other.id],
          [alice.id],
          [bob.id, GrantId.make(randomUUID())],
          [newKeyId(), one.id],
          [alice.id, one.id]
        ]
        const found = yield* Effect.forEach(asked, ([id, grantId]) => keys.find(id, grantId), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          found.map(
            Option.match({
              onNone: () => "no such key",
              onSome: ({ grant, key, keySha256 }) => [key.name, keySha256, grant]
            })
          ),
          [
            ["alice", alice.keySha256, one],
            ["bob", bob.keySha256, one],
            ["alice", alice.keySha256, other],
            ["alice", alice.keySha256, null],
            ["bob", bob.keySha256, null],
            "no such key",
            ["alice", alice.keySha256, one]
          ]
        )
      })
    )

    it.effect("are found as their transaction has them, which nobody else sees yet", () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyRepo
        const grants = yield* GrantRepo
        const sql = yield* SqlClient
        const { id } = yield* aKey("carol")
        const { id: grantId } = yield* aGrant
        const state = Effect.map(keys.find(id, grantId), (found) => {
          const { grant, key } = Option.getOrThrow(found)
          return [key.revokedAt !== null, grant?.storedStatus]
        })
        const outside = Effect.runPromiseWith(yield* Effect.context())
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* grants.revoke(grantId, "over")
            yield* keys.revoke(id)
            assert.deepStrictEqual(yield* state, [true, "revoked"])
            assert.deepStrictEqual(yield* Effect.promise(() => outside(state)), [false, "active"])
          })
        )
        assert.deepStrictEqual(yield* state, [true, "revoked"])
      })
    )
  })

  it.effect("of two that rotate a key at once, one learns of the other's", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyRepo
      const { id } = yield* aKey("dave")
      const rotate = (newId: ApiKeyId) =>
        Effect.result(
          Effect.flatMap(DateTime.now, (createdAt) =>
            keys.rotate(
              id,
              { id: newId, keySha256: randomBytes(32).toString("hex"), createdAt },
              DateTime.add(createdAt, { hours: 1 })
            )
          )
        )
      const ids = [newKeyId(), newKeyId(), newKeyId(), newKeyId()]
      const ended = yield* Effect.forEach(ids, rotate, { concurrency: "unbounded" })
      const successors = ended.flatMap((one) => (Result.isSuccess(one) ? [one.success.successor.id] : []))
      assert.lengthOf(successors, 1)
      const [rotatedTo = ""] = successors
      for (const one of ended) {
        if (Result.isFailure(one))
          assert.deepStrictEqual(one.failure, new ApiKeyRotated({ keyId: id, rotatedTo }))
      }
      const made = (yield* keys.list).filter(({ name }) => name === "dave")
      assert.sameMembers(
        made.map((key) => key.id),
        [id, rotatedTo]
      )
    })
  )
})
