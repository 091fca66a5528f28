/** The audit record in the hands of somebody who may do anything to the database: whatever is done, it is found and located. */
import { createHash, generateKeyPairSync, randomUUID } from "node:crypto"
import { mkdtempSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { ConfigProvider, DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { AuditKey, keyIdOf, type SignedPoint } from "../src/AuditKey.ts"
import { chained } from "../src/AuditChain.ts"
import { AuditRepo } from "../src/AuditRepo.ts"
import { verifyAudit } from "../src/AuditVerification.ts"
import * as Database from "../src/Database.ts"
import { GrantRepo } from "../src/GrantRepo.ts"

const home = mkdtempSync(join(tmpdir(), "mosaic-audit-"))

const layerEnvironment = (env: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromEnv({ env }))

const HomeLayer = Layer.effectDiscard(Effect.acquireRelease(Effect.void, () => removeDirectory(home))).pipe(
  Layer.provideMerge(layerEnvironment({ MOSAIC_HOME: home }))
)

const TestLayer = Layer.mergeAll(GrantRepo.layerNoDeps, AuditRepo.layerNoDeps, AuditKey.layer).pipe(
  Layer.provideMerge(Database.layer),
  Layer.provide(HomeLayer)
)

const makeGrant = GrantRepo.use((grants) =>
  grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("peer.example"),
      scopes: [],
      expiresAt: DateTime.makeUnsafe(Date.now() + 3_600_000)
    })
  )
)

/** A chain of at least ten entries, with a signed head on record. */
const someChain = Effect.gen(function* () {
  const audit = yield* AuditRepo
  const key = yield* AuditKey
  for (let n = 0; n < 10; n++) yield* makeGrant
  while ((yield* audit.seal).sealed > 0) yield* Effect.yieldNow
  const { head } = yield* audit.state
  const signed = key.sign("head", head, DateTime.formatIso(yield* DateTime.now))
  yield* audit.recordHead(signed)
  return { head, signed }
})

/** What verification says after this was done to the database, which is then as it was before. */
const after = Effect.fnUntraced(function* <E>(
  tamper: (sql: SqlClient, height: number) => Effect.Effect<unknown, E>,
  kept: SignedPoint | null = null
) {
  const sql = yield* SqlClient
  const { head } = yield* someChain
  const rollBack = Symbol("roll back")
  const found: Array<unknown> = []
  yield* sql
    .withTransaction(
      Effect.gen(function* () {
        yield* tamper(sql, head.height)
        found.push(yield* Effect.flip(verifyAudit(kept)))
        return yield* Effect.fail(rollBack)
      })
    )
    .pipe(
      Effect.catchIf(
        (error) => error === rollBack,
        () => Effect.void
      )
    )
  const [error] = found as ReadonlyArray<Effect.Error<ReturnType<typeof verifyAudit>>>
  assert.isDefined(error)
  return { height: head.height, code: error.code, message: error.message, remediation: error.remediation }
})

const broken = (message: string) => ({ code: "AUDIT_CHAIN_BROKEN", message })

const remediation =
  "keep the database as it is and find who could write to it; mosaic audit export shows what it says now, a backup what it said: docs/federation/audit.md"

const recordAt = (sql: SqlClient, height: number) =>
  Effect.map(
    sql<{ id: string }>`SELECT record_id::text AS id FROM federation_audit_chain WHERE height = ${height}`,
    ([row]) => row?.id ?? ""
  )

layer(TestLayer, { timeout: "60 seconds", excludeTestServices: true })("AuditVerification", (it) => {
  it.effect("passes what nobody has touched, and counts what is not sealed", () =>
    Effect.gen(function* () {
      const { head, signed } = yield* someChain
      yield* makeGrant
      assert.deepStrictEqual(yield* verifyAudit(signed), {
        end: head,
        checked: head.height,
        checkpoint: null,
        heads: 2,
        headsOfOtherKeys: 0,
        unsealed: 1
      })
      assert.strictEqual(statSync(join(home, "audit.key")).mode & 0o777, 0o600)
    })
  )

  it.effect("can be followed by anybody with SHA-256", () =>
    Effect.gen(function* () {
      yield* someChain
      const entries = yield* AuditRepo.use((audit) => audit.entries({ after: 0, limit: 1000 }))
      let before = "0".repeat(64)
      for (const { hash, height, record, ...rest } of entries) {
        const { action, at, detail, errorCode, grantId, outcome, requester, requestId, serial, subject } =
          rest
        const fields = [height, record, at, action, outcome, requester, requestId, grantId, serial, subject]
        const text = JSON.stringify(["mosaic-audit-1", ...fields, errorCode, detail])
        before = createHash("sha256").update(`${before}\n${text}`).digest("hex")
        assert.strictEqual(hash, before)
      }
    })
  )

  it.effect("locates a record that was changed in any column", () =>
    Effect.gen(function* () {
      const changes = [
        "at = at + interval '1 microsecond'",
        "action = 'grant.revoke'",
        "outcome = 'refused'",
        "requester = 'cli:nobody'",
        "request_id = 'another'",
        "grant_id = gen_random_uuid()",
        "serial = '1'",
        "subject = ''",
        "error_code = 'NONE'",
        "detail = NULL"
      ]
      for (const change of changes) {
        let record = ""
        const found = yield* after((sql, height) =>
          Effect.gen(function* () {
            record = yield* recordAt(sql, height - 3)
            yield* sql`UPDATE federation_audit SET ${sql.literal(change)} WHERE id = ${record}::bigint`
          })
        )
        assert.deepInclude(
          found,
          broken(
            `at height ${found.height - 3}: record ${record} does not match its hash: it was changed, inserted or moved`
          )
        )
        assert.strictEqual(found.remediation, remediation)
      }
    })
  )

  it.effect("locates what was removed: a record, a link, both", () =>
    Effect.gen(function* () {
      let record = ""
      const removed = yield* after((sql, height) =>
        Effect.gen(function* () {
          record = yield* recordAt(sql, height - 4)
          yield* sql`DELETE FROM federation_audit WHERE id = ${record}::bigint`
        })
      )
      assert.deepInclude(removed, broken(`at height ${removed.height - 4}: record ${record} was removed`))
      const cut = yield* after(
        (sql, height) =>
          sql`DELETE FROM federation_audit_chain WHERE height IN (${height - 3}, ${height - 4})`
      )
      assert.deepInclude(
        cut,
        broken(
          `at height ${cut.height - 4}: heights ${cut.height - 4} to ${cut.height - 3} are missing: cut out of the chain`
        )
      )
      const closed = yield* after((sql, height) =>
        Effect.gen(function* () {
          const id = yield* recordAt(sql, height - 1)
          record = yield* recordAt(sql, height)
          yield* sql`DELETE FROM federation_audit WHERE id = ${id}::bigint`
          yield* sql`DELETE FROM federation_audit_chain WHERE height = ${height - 1}`
          yield* sql`UPDATE federation_audit_chain SET height = height - 1 WHERE height = ${height}`
        })
      )
      assert.deepInclude(
        closed,
        broken(
          `at height ${closed.height - 1}: record ${record} does not match its hash: it was changed, inserted or moved`
        )
      )
    })
  )

  it.effect("locates what was inserted and what was swapped", () =>
    Effect.gen(function* () {
      let record = ""
      const inserted = yield* after((sql, height) =>
        Effect.gen(function* () {
          const [row] = yield* sql<{ id: string }>`
            INSERT INTO federation_audit (at, action, outcome, requester, request_id)
            VALUES (now(), 'grant.create', 'done', 'cli:root', 'forged') RETURNING id::text AS id`
          record = row?.id ?? ""
          yield* sql`UPDATE federation_audit_chain SET height = height + 1 WHERE height = ${height}`
          yield* sql`
            INSERT INTO federation_audit_chain (height, record_id, hash)
            VALUES (${height}, ${record}::bigint, ${"ab".repeat(32)})`
        })
      )
      assert.deepInclude(
        inserted,
        broken(
          `at height ${inserted.height}: record ${record} does not match its hash: it was changed, inserted or moved; 3 breaks in all`
        )
      )
      const swapped = yield* after((sql, height) =>
        Effect.gen(function* () {
          record = yield* recordAt(sql, height - 2)
          const other = yield* recordAt(sql, height - 5)
          yield* sql`UPDATE federation_audit_chain SET record_id = -1 WHERE height = ${height - 2}`
          yield* sql`UPDATE federation_audit_chain SET record_id = ${record}::bigint WHERE height = ${height - 5}`
          yield* sql`UPDATE federation_audit_chain SET record_id = ${other}::bigint WHERE height = ${height - 2}`
        })
      )
      assert.deepInclude(
        swapped,
        broken(
          `at height ${swapped.height - 5}: record ${record} does not match its hash: it was changed, inserted or moved; 2 breaks in all`
        )
      )
    })
  )

  it.effect("finds an end that was cut off, by the head on record or by one that was kept elsewhere", () =>
    Effect.gen(function* () {
      const { signed } = yield* someChain
      const cut = (sql: SqlClient, height: number) =>
        Effect.gen(function* () {
          yield* sql`
            DELETE FROM federation_audit WHERE id IN (SELECT record_id FROM federation_audit_chain WHERE height > ${height - 4})`
          yield* sql`DELETE FROM federation_audit_chain WHERE height > ${height - 4}`
        })
      const found = yield* after(cut)
      assert.strictEqual(found.code, "AUDIT_TAIL_MISSING")
      assert.include(found.remediation, "keep the database as it is and find who could write to it")
      assert.match(
        found.message,
        new RegExp(
          `^the chain ends at height ${found.height - 4}, and a head signed at \\S+ has height ${found.height}$`
        )
      )
      const without = (sql: SqlClient) =>
        Effect.andThen(cut(sql, signed.height), sql`DELETE FROM federation_audit_heads`)
      const kept = yield* after(without, signed)
      assert.deepInclude(kept, {
        code: "AUDIT_TAIL_MISSING",
        message: `the chain ends at height ${signed.height - 4}, and a head signed at ${signed.at} has height ${signed.height}`
      })
    })
  )

  it.effect("finds a chain that was written anew, whose links all fit", () =>
    Effect.gen(function* () {
      const { signed } = yield* someChain
      const audit = yield* AuditRepo
      const found = yield* after((sql) =>
        Effect.gen(function* () {
          yield* sql`UPDATE federation_audit SET requester = 'cli:somebody-else'`
          const entries = yield* audit.entries({ after: 0, limit: 1000 })
          for (const { hash, height } of chained({ height: 0, hash: "0".repeat(64) }, entries)) {
            yield* sql`UPDATE federation_audit_chain SET hash = ${hash} WHERE height = ${height}`
          }
        })
      )
      assert.strictEqual(found.code, "AUDIT_CHAIN_BROKEN")
      assert.include(found.message, `has hash `)
      assert.include(found.message, "it was rewritten up to here")
      assert.isAtLeast(found.height, signed.height)
    })
  )

  it.effect("believes no head that was altered, and none of a key that it does not know", () =>
    Effect.gen(function* () {
      const { head, signed } = yield* someChain
      const altered = yield* after(
        (sql) => sql`UPDATE federation_audit_heads SET height = height + 5 WHERE height = ${signed.height}`
      )
      assert.deepInclude(altered, {
        code: "AUDIT_SIGNATURE_INVALID",
        message: `the head on record of height ${signed.height + 5}: the signature does not fit what it signs`,
        remediation:
          "use the key that signed it (MOSAIC_AUDIT_KEY_FILE), or name it in MOSAIC_AUDIT_TRUST if you know it: docs/federation/audit.md"
      })
      const pem = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" })
      const keyFile = join(home, "other.key")
      writeFileSync(keyFile, pem)
      const keyOf = (env: Readonly<Record<string, string>>) =>
        AuditKey.pipe(Effect.provide(Layer.fresh(AuditKey.layer)), Effect.provide(layerEnvironment(env)))
      const other = yield* keyOf({ MOSAIC_AUDIT_KEY_FILE: keyFile })
      const forged = other.sign("head", { ...head, height: head.height + 1000 }, signed.at)
      const error = yield* Effect.flip(verifyAudit(forged))
      assert.strictEqual(
        error.message,
        `the head that was given: it is signed by the key ${keyIdOf(other.publicKey)}, which is not trusted here`
      )
      const audit = yield* AuditRepo
      yield* audit.recordHead(forged)
      assert.deepInclude(yield* verifyAudit(null), { headsOfOtherKeys: 1 })
      const own = keyIdOf((yield* AuditKey).publicKey)
      const both = `${own}, ${keyIdOf(other.publicKey)}`
      const trusting = yield* keyOf({ MOSAIC_HOME: home, MOSAIC_AUDIT_TRUST: both })
      const trusted = yield* Effect.flip(Effect.provideService(verifyAudit(null), AuditKey, trusting))
      assert.strictEqual(trusted.code, "AUDIT_TAIL_MISSING")
      yield* SqlClient.use((sql) => sql`DELETE FROM federation_audit_heads WHERE height > ${head.height}`)
      for (const [env, problem] of [
        [{ MOSAIC_AUDIT_KEY: "no key" }, "MOSAIC_AUDIT_KEY: it is not a private key in PEM"],
        [
          { MOSAIC_HOME: home, MOSAIC_AUDIT_TRUST: "abc" },
          'MOSAIC_AUDIT_TRUST: "abc" is not the id of a key'
        ],
        [
          { MOSAIC_HOME: home, MOSAIC_AUDIT_TRUST: keyIdOf(other.publicKey) },
          `MOSAIC_AUDIT_TRUST: it does not name ${own}, the key by which heads are signed here`
        ]
      ] as const) {
        assert.strictEqual((yield* Effect.flip(keyOf(env))).message, problem)
      }
    })
  )
})
