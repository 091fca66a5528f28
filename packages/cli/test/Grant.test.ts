/** Grants from the command line, on the embedded PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  createGrant,
  documentOf,
  type ErrorDocument,
  finish,
  mosaic,
  start,
  station,
  user
} from "./support/mosaic.ts"

interface GrantDocument {
  readonly id: string
  readonly subjectUserId: string
  readonly peer: string
  readonly scopes: ReadonlyArray<string>
  readonly status: string
  readonly expiresAt: string
  readonly createdAt: string
}

const day = 86_400_000
const stranger = "0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c"

describe("mosaic federation grant", () => {
  it.live("creates, shows, lists and revokes", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const created = yield* mosaic(where, [
        "federation",
        "grant",
        "create",
        "--user",
        user,
        "--peer",
        "gateway.example",
        "--scope",
        "orders:read",
        "--scope",
        "orders:write",
        "--json"
      ])
      assert.deepStrictEqual([created.code, created.stderr], [0, ""])
      const grant = documentOf<GrantDocument>(created.stdout)
      assert.strictEqual(grant.subjectUserId, user)
      assert.deepStrictEqual(grant.scopes, ["orders:read", "orders:write"])
      assert.strictEqual(grant.status, "active")
      const period = Date.parse(grant.expiresAt) - Date.parse(grant.createdAt)
      assert.isAtMost(Math.abs(period - 30 * day), 60_000)

      const shown = yield* mosaic(where, ["federation", "grant", "show", grant.id])
      assert.strictEqual(shown.code, 0)
      for (const text of [
        grant.id,
        `user ${user}`,
        "gateway.example",
        "orders:read orders:write",
        "29 d 23 h left"
      ]) {
        assert.include(shown.stdout, text)
      }
      assert.include(shown.stdout, "No certificate was asked for under this grant.")

      const listed = yield* mosaic(where, ["federation", "grant", "list"])
      assert.match(listed.stdout, new RegExp(`^GRANT +STATUS +PEER[^]*^${grant.id}  active `, "m"))

      const revoke = ["federation", "grant", "revoke", grant.id, "--reason", "the contract ended"]
      const revoked = yield* mosaic(where, revoke)
      assert.strictEqual(revoked.code, 0)
      assert.strictEqual(
        revoked.stdout,
        `Grant ${grant.id} is revoked: it issues no certificate from now on.\nNo certificate of it is valid any more.\n`
      )
      const again = yield* mosaic(where, [...revoke.slice(0, 4), "--reason", "another", "--json"])
      const document = documentOf<Record<string, unknown>>(again.stdout)
      assert.deepStrictEqual(
        [document["alreadyRevoked"], document["revocationReason"], document["status"]],
        [true, "the contract ended", "revoked"]
      )
      assert.deepStrictEqual([document["liveCertificates"], document["lastNotAfter"]], [0, null])
    })
  )

  it.live("filters and pages, the newest first", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const none = yield* mosaic(where, ["federation", "grant", "list"])
      assert.include(none.stdout, "No grant matches. Create one: mosaic federation grant create --help")
      const ids = [
        yield* createGrant(where),
        yield* createGrant(where, "--expires-in", "1s"),
        yield* createGrant(where, "--expires-at", "2090-01-31T12:00:00+02:00")
      ]
      const list = (...options: ReadonlyArray<string>) =>
        Effect.map(mosaic(where, ["federation", "grant", "list", ...options, "--json"]), ({ stdout }) =>
          documentOf<{ readonly grants: ReadonlyArray<GrantDocument>; readonly next: string | null }>(stdout)
        )
      const first = yield* list("--limit", "2")
      assert.deepStrictEqual(
        first.grants.map(({ id }) => id),
        [ids[2], ids[1]]
      )
      assert.strictEqual(first.next, ids[1])
      assert.strictEqual(first.grants[0]?.expiresAt, "2090-01-31T10:00:00.000Z")
      const second = yield* list("--limit", "2", "--before", ids[1] ?? "")
      assert.deepStrictEqual([second.grants.map(({ id }) => id), second.next], [[ids[0]], null])
      const expiry = Date.parse(first.grants[1]?.expiresAt ?? "")
      while (Date.now() <= expiry) yield* Effect.sleep("50 millis")
      assert.deepStrictEqual(
        (yield* list("--status", "expired")).grants.map(({ id }) => id),
        [ids[1]]
      )
      assert.lengthOf((yield* list("--status", "active", "--user", user)).grants, 2)
      assert.lengthOf((yield* list("--user", stranger)).grants, 0)
      assert.lengthOf((yield* list("--peer", "another.example")).grants, 0)
    })
  )

  it.live("keeps an id that is given, and refuses it the second time", () =>
    Effect.gen(function* () {
      const where = yield* station()
      assert.strictEqual(yield* createGrant(where, "--id", stranger), stranger)
      const again = yield* mosaic(where, [
        "federation",
        "grant",
        "create",
        "--user",
        user,
        "--peer",
        "p",
        "--id",
        stranger,
        "--json"
      ])
      assert.strictEqual(again.code, 3)
      const { error } = documentOf<ErrorDocument>(again.stdout)
      assert.strictEqual(error.code, "GRANT_ALREADY_EXISTS")
      assert.strictEqual(error.message, `grant ${stranger} exists already`)
      assert.include(error.remediation, `mosaic federation grant show ${stranger}`)
    })
  )

  it.live("says in three lines that a grant is unknown", () =>
    Effect.gen(function* () {
      const where = yield* station()
      for (const command of ["show", "revoke"]) {
        const ran = yield* mosaic(where, ["federation", "grant", command, stranger])
        assert.deepStrictEqual(ran, {
          code: 3,
          stdout: "",
          stderr: [
            "There is no such grant (GRANT_NOT_FOUND)",
            `  why: no grant ${stranger}`,
            "  do:  list the grants there are: mosaic federation grant list",
            ""
          ].join("\n")
        })
      }
    })
  )

  it.live("names DATABASE_URL where the database is away, and not its password", () =>
    Effect.gen(function* () {
      const where = yield* station({ DATABASE_URL: "postgres://mosaic:hush-hush@127.0.0.1:1/mosaic" })
      const { code, stderr, stdout } = yield* mosaic(where, ["federation", "grant", "list"], {
        MOSAIC_LOG_LEVEL: "all"
      })
      assert.strictEqual(code, 7)
      assert.include(stderr, "(STORAGE_UNAVAILABLE)")
      assert.include(stderr, "ECONNREFUSED")
      assert.include(stderr, "(mosaic config show)")
      assert.notInclude(stderr + stdout, "hush-hush")
    })
  )

  it.live("works from many processes at once, the first of which make the database", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const create = (peer: string) =>
        finish(start(where, ["federation", "grant", "create", "--user", user, "--peer", peer, "--json"]))
      const peers = Array.from({ length: 6 }, (_, index) => `gateway-${index}.example`)
      const ran = yield* Effect.promise(() => Promise.all(peers.map(create)))
      for (const { code, stderr } of ran) assert.deepStrictEqual([code, stderr], [0, ""])
      const listed = yield* mosaic(where, ["federation", "grant", "list", "--json"])
      const { grants } = documentOf<{ readonly grants: ReadonlyArray<GrantDocument> }>(listed.stdout)
      assert.deepStrictEqual(grants.map(({ peer }) => peer).toSorted(), peers)
    })
  )
})
