/** API keys from the command line: shown once, kept as a hash, rotated, revoked. */
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeKey } from "./support/gatewayProcess.ts"
import { documentOf, type ErrorDocument, mosaic, station } from "./support/mosaic.ts"

interface KeyDocument {
  readonly id: string
  readonly name: string
  readonly scope: string
  readonly status: string
  readonly expiresAt: string | null
  readonly revokedAt: string | null
  readonly rotatedTo: string | null
  readonly key?: string
}

const key = (...args: ReadonlyArray<string>) => ["gateway", "key", ...args, "--json"]

describe("mosaic gateway key", () => {
  it.live("makes a key of 256 random bits, and shows it this once", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const first = yield* makeKey(where, "admin")
      const second = yield* makeKey(where, "read", "--expires-in", "90d")
      assert.match(first.key, /^mosaic_key_1_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/)
      assert.notStrictEqual(first.key.slice(-43), second.key.slice(-43))
      const { stdout } = yield* mosaic(where, key("list"))
      const { keys } = documentOf<{ readonly keys: ReadonlyArray<KeyDocument> }>(stdout)
      assert.sameMembers(
        keys.map(({ id, scope, status }) => `${id} ${scope} ${status}`),
        [`${first.id} admin active`, `${second.id} read active`]
      )
      assert.notInclude(stdout, first.key.slice(-43))
      assert.notInclude(stdout, createHash("sha256").update(first.key).digest("hex"))
    })
  )

  it.live("puts a new key in the place of an old one, which ends after the overlap", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const old = yield* makeKey(where, "issue")
      const { stdout } = yield* mosaic(where, key("rotate", old.id, "--overlap", "1h"))
      const rotated = documentOf<KeyDocument & { readonly replaces: KeyDocument }>(stdout)
      assert.deepStrictEqual(
        [rotated.name, rotated.scope, rotated.status, rotated.expiresAt],
        ["test-issue", "issue", "active", null]
      )
      assert.notStrictEqual(rotated.key, old.key)
      assert.strictEqual(rotated.replaces.rotatedTo, rotated.id)
      const left = Date.parse(rotated.replaces.expiresAt ?? "") - Date.now()
      assert.isTrue(left > 3_500_000 && left <= 3_600_000, String(left))
    })
  )

  it.live("revokes a key once and for all, and rotates it no more", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const { id } = yield* makeKey(where, "read")
      const revoked = documentOf<KeyDocument>((yield* mosaic(where, key("revoke", id))).stdout)
      assert.strictEqual(revoked.status, "revoked")
      const again = documentOf<KeyDocument>((yield* mosaic(where, key("revoke", id))).stdout)
      assert.strictEqual(again.revokedAt, revoked.revokedAt)
      const rotated = yield* mosaic(where, key("rotate", id))
      const { error } = documentOf<ErrorDocument>(rotated.stdout)
      assert.deepStrictEqual([rotated.code, error.code], [3, "API_KEY_REVOKED"])
      assert.include(error.remediation, "mosaic gateway key create")
    })
  )

  it.live("gives a key one successor, and none to a key that is over", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const old = yield* makeKey(where, "issue")
      const rotate = (id: string) => mosaic(where, key("rotate", id, "--overlap", "1s"))
      const rotated = documentOf<KeyDocument>((yield* rotate(old.id)).stdout)
      const again = yield* rotate(old.id)
      assert.deepStrictEqual(
        [again.code, documentOf<ErrorDocument>(again.stdout).error.code],
        [3, "API_KEY_ROTATED"]
      )
      const { error } = documentOf<ErrorDocument>(again.stdout)
      assert.strictEqual(error.message, `API key ${old.id} was rotated to ${rotated.id}`)
      assert.include(error.remediation, `rotate the newer one: mosaic gateway key rotate ${rotated.id};`)
      const onwards = documentOf<KeyDocument & { readonly replaces: KeyDocument }>(
        (yield* rotate(rotated.id)).stdout
      )
      assert.deepStrictEqual([onwards.status, onwards.expiresAt], ["active", null])
      assert.strictEqual(onwards.replaces.id, rotated.id)

      const short = yield* makeKey(where, "read", "--expires-in", "1s")
      const list = Effect.map(
        mosaic(where, key("list")),
        ({ stdout }) => documentOf<{ readonly keys: ReadonlyArray<KeyDocument> }>(stdout).keys
      )
      const end = (yield* list).find(({ id }) => id === short.id)?.expiresAt ?? ""
      while (Date.now() <= Date.parse(end)) yield* Effect.sleep("50 millis")
      const over = yield* rotate(short.id)
      const expired = documentOf<ErrorDocument>(over.stdout).error
      assert.deepStrictEqual(
        [over.code, expired.code, expired.message],
        [3, "API_KEY_EXPIRED", `API key ${short.id} expired at ${end}`]
      )
      assert.include(expired.remediation, "mosaic gateway key create")
      assert.lengthOf(yield* list, 4)
    })
  )

  it.live("says which key there is not, and what a key's id and name look like", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const absent = yield* mosaic(where, key("revoke", "0123456789abcdef"))
      const { error } = documentOf<ErrorDocument>(absent.stdout)
      assert.deepStrictEqual([absent.code, error.code], [3, "API_KEY_NOT_FOUND"])
      assert.include(error.remediation, "list the keys there are: mosaic gateway key list")
      const wrong = yield* mosaic(where, key("revoke", "alice"))
      assert.deepStrictEqual(
        [wrong.code, documentOf<ErrorDocument>(wrong.stdout).error.code],
        [2, "USAGE_INVALID"]
      )
      const name = yield* mosaic(where, key("create", "--name", "a b", "--scope", "read"))
      assert.strictEqual(name.code, 2)
      const scope = yield* mosaic(where, key("create", "--name", "a", "--scope", "root"))
      assert.strictEqual(scope.code, 2)
    })
  )
})
