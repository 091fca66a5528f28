/** Retention: what ended long ago goes, what lives or is needed stays, and the audit record can be proved as before. */
import { createHash, generateKeyPairSync, randomUUID } from "node:crypto"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { Clock, ConfigProvider, DateTime, Deferred, Duration, Effect, Fiber, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { setAppPassword } from "../src/AppRole.ts"
import { AuditKey, keyIdOf, type SignedPoint } from "../src/AuditKey.ts"
import { AuditRepo } from "../src/AuditRepo.ts"
import { verifyAudit, verifyChain } from "../src/AuditVerification.ts"
import { EmbeddedPostgres } from "../src/EmbeddedPostgres.ts"
import { migrate } from "../src/Migrations.ts"
import { type Keep, type Progress, prune, type Pruned, standardKeep } from "../src/Prune.ts"

const home = mkdtempSync(join(tmpdir(), "mosaic-prune-"))

const environment = (env: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromEnv({ env }))

const ServerLayer = Layer.unwrap(
  Effect.as(
    Effect.acquireRelease(Effect.void, () => removeDirectory(home)),
    EmbeddedPostgres.layerAt(home)
  )
)

/** A database of its own, migrated, with the audit key of the home. */
const inDatabase = <A, E>(
  test: Effect.Effect<A, E, SqlClient | PgClient.PgClient | AuditRepo | AuditKey | EmbeddedPostgres>
) =>
  Effect.gen(function* () {
    const { connection } = yield* EmbeddedPostgres
    const database = `test_${randomUUID().replaceAll("-", "")}`
    yield* SqlClient.use((sql) => sql`CREATE DATABASE ${sql(database)}`).pipe(
      Effect.provide(PgClient.layer(connection))
    )
    yield* Effect.andThen(migrate(), test).pipe(
      Effect.provide(Layer.merge(AuditRepo.layerNoDeps, Layer.fresh(AuditKey.layer))),
      Effect.provide(PgClient.layer({ ...connection, database })),
      Effect.provide(environment({ MOSAIC_HOME: home }))
    )
  })

const silent: Progress = () => Effect.void

const run = (keep: Partial<Keep> = {}, progress = silent) =>
  prune({ ...standardKeep, ...keep }, false, progress)

const dryRun = (keep: Partial<Keep> = {}) => prune({ ...standardKeep, ...keep }, true, silent)

const short: Keep = {
  audit: Duration.seconds(1),
  certificates: Duration.seconds(1),
  grants: Duration.seconds(1),
  tokens: Duration.seconds(1),
  tasks: Duration.seconds(1)
}

/** A run that has begun to delete, and goes on when it is let. */
const heldRun = Effect.gen(function* () {
  const reached = yield* Deferred.make<void>()
  const go = yield* Deferred.make<void>()
  const first = yield* Effect.forkChild(
    run({}, (doing) =>
      doing === "deleted"
        ? Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go))
        : Effect.void
    )
  )
  yield* Deferred.await(reached)
  return { first, go }
})

/** What is the same of a dry run and a run. */
const counts = ({ tables }: Pruned) =>
  tables.map(({ kept, oldestKept, rows, table }) => ({ table, rows, kept, oldestKept }))

const rowsIn = (pruned: Pruned, name: string) => pruned.tables.find(({ table }) => table === name)?.rows

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

let serials = 10n ** 20n

/** Rows by their names, with times in days from now. */
const records = Effect.gen(function* () {
  const sql = yield* SqlClient
  const day = (days: number) => sql`(now() + ${days}::float8 * interval '1 day')`
  const user = randomUUID()
  const grant = Effect.fnUntraced(function* (end: number, revoked?: number) {
    const id = randomUUID()
    yield* sql`
      INSERT INTO federation_grants
        (id, subject_user_id, peer, scopes, status, expires_at, created_at, revoked_at, revocation_reason)
      VALUES (${id}, ${user}, 'peer.example', '{}', ${revoked === undefined ? "active" : "revoked"}, ${day(end)},
        ${day(-900)}, ${revoked === undefined ? sql`NULL` : day(revoked)}, ${revoked === undefined ? null : "over"})`
    return id
  })
  const certificate = Effect.fnUntraced(function* (
    of: string,
    end: number,
    state: "issued" | "intent" | "refused" | "withheld" | "ambiguous" = "issued"
  ) {
    const serial = String(++serials)
    const issued = state === "issued"
    yield* sql`
      INSERT INTO federation_certificates (serial, grant_id, subject_user_id, csr_sha256, state, requested_at, not_before,
        not_after, fingerprint_sha256, full_chain_pem, error_code, settled_at)
      VALUES (${serial}, ${of}, ${user}, ${sha256(serial)}, ${state}, ${day(end - 1)}, ${issued ? day(end - 1) : sql`NULL`},
        ${day(end)}, ${issued ? sha256(`${serial}.`) : null}, ${issued ? "-----BEGIN CERTIFICATE-----" : null},
        ${issued || state === "intent" ? null : "CA_REFUSED"}, ${state === "intent" ? sql`NULL` : day(end - 1)})`
    return serial
  })
  const token = Effect.fnUntraced(function* (
    of: string,
    end: number,
    use?: { readonly serial: string; readonly at: number }
  ) {
    const id = randomUUID()
    yield* sql`
      INSERT INTO federation_enrollment_tokens (id, grant_id, token_sha256, created_at, created_by, expires_at, used_serial,
        used_at, used_from, used_by_request)
      VALUES (${id}, ${of}, ${sha256(id)}, ${day(end - 0.01)}, 'cli:test', ${day(end)}, ${use?.serial ?? null},
        ${use === undefined ? sql`NULL` : day(use.at)}, ${use === undefined ? null : "192.0.2.1"},
        ${use === undefined ? null : "request"})`
    return id
  })
  const task = Effect.fnUntraced(function* (subject: string, state: "open" | "done" | "moot", at: number) {
    const [row] = yield* sql<{ id: string }>`
      INSERT INTO federation_tasks (kind, subject, payload, state, created_at, done_at)
      VALUES ('revoke-at-ca', ${subject}, '{}', ${state}, ${day(at)}, ${state === "open" ? sql`NULL` : day(at)})
      RETURNING id::text AS id`
    return row?.id ?? ""
  })
  const key = (name: string, at: number, serial: string | null) => sql`
    INSERT INTO federation_idempotency_keys (requester, key, request_sha256, first_at, serial)
    VALUES ('cli:test', ${name}, ${sha256(name)}, ${day(at)}, ${serial})`
  const renewal = (serial: string, renewed: string) =>
    sql`INSERT INTO federation_renewals (serial, renewed_serial) VALUES (${serial}, ${renewed})`
  const proof = (name: string, forgetAt: number) =>
    sql`INSERT INTO federation_renewal_proofs (proof_sha256, forget_at) VALUES (${sha256(name)}, ${day(forgetAt)})`
  return { grant, certificate, token, task, key, renewal, proof }
})

const left = (table: string, column: string) =>
  SqlClient.use((sql) =>
    Effect.map(sql<{ id: string }>`SELECT ${sql(column)}::text AS id FROM ${sql(table)} ORDER BY 1`, (rows) =>
      rows.map(({ id }) => id)
    )
  )

/** Sealed records of that age, the oldest first, and a signed head on record. */
const auditRecords = Effect.fnUntraced(function* (
  ...ages: ReadonlyArray<readonly [days: number, count: number]>
) {
  const sql = yield* SqlClient
  const audit = yield* AuditRepo
  const key = yield* AuditKey
  for (const [days, count] of ages) {
    yield* sql`
      INSERT INTO federation_audit (at, action, outcome, requester, request_id)
      SELECT date_trunc('milliseconds', now() - ${days}::float8 * interval '1 day'), 'grant.create', 'done', 'cli:test',
        'request ' || n FROM generate_series(1, ${count}::int) n`
  }
  while ((yield* audit.seal).sealed > 0) yield* Effect.yieldNow
  const { head } = yield* audit.state
  const signed = key.sign("head", head, DateTime.formatIso(yield* DateTime.now))
  yield* audit.recordHead(signed)
  return signed
})

/** Then done to the database, with what verification says; afterwards the database is as it was. */
const failureAfter = Effect.fnUntraced(function* <E>(
  tamper: (sql: SqlClient) => Effect.Effect<unknown, E>,
  kept: SignedPoint | null = null
) {
  const sql = yield* SqlClient
  const found = yield* Effect.flip(
    sql.withTransaction(
      Effect.gen(function* () {
        yield* tamper(sql)
        const error = yield* Effect.flip(verifyAudit(kept))
        return yield* Effect.fail({ found: [error.code, error.message] as const })
      })
    )
  )
  assert(typeof found === "object" && found !== null && "found" in found)
  return found.found
})

layer(ServerLayer, { timeout: "120 seconds", excludeTestServices: true })("Prune", (it) => {
  it.effect(
    "deletes what ended long ago, and nothing that lives or is needed; a dry run says it before",
    () =>
      inDatabase(
        Effect.gen(function* () {
          const make = yield* records
          const active = yield* make.grant(30)
          const expired = yield* make.grant(-500)
          const revoked = yield* make.grant(30, -500)
          const justRevoked = yield* make.grant(30, -10)
          const stays = { asked: "", renewed: "", keyed: "", revoking: "", fresh: "", ofToken: "" }
          const needs = {
            intent: yield* make.grant(-500),
            live: yield* make.grant(-500),
            token: yield* make.grant(-500),
            task: yield* make.grant(-500),
            key: yield* make.grant(-500)
          }
          for (const state of ["issued", "refused", "withheld", "ambiguous"] as const) {
            yield* make.certificate(expired, -500, state)
            yield* make.certificate(active, -500, state)
          }
          stays.fresh = yield* make.certificate(active, 0.5)
          stays.asked = yield* make.certificate(needs.intent, -500, "intent")
          stays.renewed = yield* make.certificate(needs.live, -399)
          const before = yield* make.certificate(needs.live, -401)
          yield* make.renewal(stays.renewed, before)
          stays.revoking = yield* make.certificate(needs.task, -500, "withheld")
          const openTask = yield* make.task(stays.revoking, "open", -500)
          stays.keyed = yield* make.certificate(needs.key, -500)
          yield* make.key("in its window", -0.9, stays.keyed)
          yield* make.key("forgotten", -1.1, yield* make.certificate(active, -500))
          stays.ofToken = yield* make.certificate(needs.token, -500)
          const used = yield* make.token(needs.token, -500, { serial: stays.ofToken, at: -399 })
          yield* make.token(expired, -401)
          const open = yield* make.token(active, 0.005)
          yield* make.task("1", "done", -31)
          const done = yield* make.task("2", "done", -29)
          yield* make.proof("over", -0.001)
          yield* make.proof("in its window", 0.001)
          const [keyed] = yield* SqlClient.use(
            (sql) => sql`
            INSERT INTO federation_api_keys (id, name, scope, key_sha256, created_at, revoked_at)
            VALUES ('0123456789abcdef', 'old', 'read', ${sha256("key")}, '2020-01-01', '2020-01-02') RETURNING id`
          )
          assert.isDefined(keyed)

          const said = yield* dryRun()
          assert.strictEqual((yield* left("federation_grants", "id")).length, 9, "a dry run changes nothing")
          assert.deepStrictEqual(yield* left("federation_audit", "id"), [])
          const pruned = yield* run()
          assert.deepStrictEqual(counts(pruned), counts(said))
          assert.deepStrictEqual(
            Object.fromEntries(pruned.tables.map(({ kept, rows, table }) => [table, [rows, kept]])),
            {
              federation_audit: [0, 0],
              federation_audit_heads: [0, 0],
              federation_tasks: [1, 2],
              federation_renewal_proofs: [1, 1],
              federation_idempotency_keys: [1, 1],
              federation_enrollment_tokens: [1, 2],
              federation_renewals: [1, 0],
              federation_certificates: [10, 6],
              federation_grants: [2, 7]
            }
          )
          assert.deepStrictEqual(
            yield* left("federation_grants", "id"),
            [active, justRevoked, ...Object.values(needs)].toSorted()
          )
          assert.notInclude(yield* left("federation_grants", "id"), revoked)
          assert.deepStrictEqual(
            yield* left("federation_certificates", "serial"),
            Object.values(stays).toSorted()
          )
          assert.deepStrictEqual(yield* left("federation_enrollment_tokens", "id"), [open, used].toSorted())
          assert.deepStrictEqual(yield* left("federation_tasks", "id"), [openTask, done].toSorted())
          assert.deepStrictEqual(yield* left("federation_idempotency_keys", "key"), ["in its window"])
          assert.deepStrictEqual(yield* left("federation_renewal_proofs", "proof_sha256"), [
            sha256("in its window")
          ])
          assert.deepStrictEqual(yield* left("federation_api_keys", "id"), ["0123456789abcdef"])
          const oldest = pruned.tables.find(({ table }) => table === "federation_certificates")?.oldestKept
          assert.isAtMost(
            Math.abs((oldest?.epochMilliseconds ?? 0) - (Date.now() - 501 * 86_400_000)),
            3_600_000
          )

          // Who, what, how many; and nothing where nothing was to be done.
          const entries = yield* SqlClient.use(
            (sql) => sql<{ outcome: string; detail: string }>`
            SELECT outcome, detail FROM federation_audit WHERE action = 'db.prune' ORDER BY id`
          )
          assert.deepStrictEqual(
            entries.map(({ outcome }) => outcome),
            ["begun", "done"]
          )
          for (const { detail } of entries) {
            assert.match(detail, /(^|; )10 of federation_certificates before \d{4}-\d\d-\d\dT[\d:.]+Z(;|$)/)
            assert.notInclude(detail, "federation_audit")
          }
          const again = yield* run()
          assert.isTrue(again.tables.every(({ rows }) => rows === 0))
          assert.strictEqual((yield* left("federation_audit", "id")).length, 2)
        })
      )
  )

  it.effect("keeps a token for the hour in which its peer may repeat, however short the period", () =>
    inDatabase(
      Effect.gen(function* () {
        const make = yield* records
        const minute = 1 / 1440
        const grant = yield* make.grant(-40 * minute)
        const serial = yield* make.certificate(grant, -45 * minute)
        const recent = yield* make.token(grant, -50 * minute, { serial, at: -50 * minute })
        const before = yield* make.grant(-40 * minute)
        const old = yield* make.certificate(before, -45 * minute)
        yield* make.token(before, -70 * minute, { serial: old, at: -70 * minute })
        const pruned = yield* run(short)
        assert.strictEqual(rowsIn(pruned, "federation_grants"), 1)
        assert.deepStrictEqual(yield* left("federation_enrollment_tokens", "id"), [recent])
        assert.deepStrictEqual(yield* left("federation_certificates", "serial"), [serial])
        assert.deepStrictEqual(yield* left("federation_grants", "id"), [grant])
      })
    )
  )

  it.effect("goes by the clock that is behind: one that is years ahead ends nothing", () =>
    inDatabase(
      Effect.gen(function* () {
        const make = yield* records
        const grant = yield* make.grant(30)
        yield* make.certificate(grant, 0.5)
        yield* make.grant(-500)
        const clock = yield* Clock.Clock
        const years = Duration.toMillis(Duration.days(2 * 365))
        const ahead: Clock.Clock = {
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + years,
          currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + years),
          currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
          currentTimeNanos: clock.currentTimeNanos,
          monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
          monotonicTimeNanos: clock.monotonicTimeNanos,
          sleep: (duration) => clock.sleep(duration)
        }
        const pruned = yield* Effect.provideService(run(), Clock.Clock, ahead)
        assert.strictEqual(rowsIn(pruned, "federation_grants"), 1)
        assert.deepStrictEqual(yield* left("federation_grants", "id"), [grant])
        assert.strictEqual((yield* left("federation_certificates", "serial")).length, 1)
      })
    )
  )

  it.effect("leaves what somebody holds, and sees what came while it waited for its turn", () =>
    inDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient
        const make = yield* records
        const held = yield* make.grant(-500)
        yield* make.grant(-500)
        const locked = yield* Deferred.make<void>()
        const release = yield* Deferred.make<void>()
        const holder = yield* Effect.forkChild(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`SELECT FROM federation_grants WHERE id = ${held} FOR KEY SHARE`
              yield* Deferred.succeed(locked, undefined)
              yield* Deferred.await(release)
              const token = randomUUID()
              yield* sql`
                INSERT INTO federation_enrollment_tokens (id, grant_id, token_sha256, created_at, created_by, expires_at)
                VALUES (${token}, ${held}, ${sha256(token)}, now(), 'cli:test', now() + interval '1 hour')`
            })
          )
        )
        yield* Deferred.await(locked)
        const pruned = yield* run()
        assert.strictEqual(rowsIn(pruned, "federation_grants"), 1)
        assert.strictEqual(pruned.tables.at(-1)?.kept, 1)
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(holder)
        assert.strictEqual(rowsIn(yield* run(), "federation_grants"), 0)
        assert.deepStrictEqual(yield* left("federation_grants", "id"), [held])
      })
    )
  )

  it.effect("puts a signed checkpoint in the place of audit records, batch by batch", () =>
    inDatabase(
      Effect.gen(function* () {
        const audit = yield* AuditRepo
        const key = yield* AuditKey
        yield* auditRecords([500, 2300])
        const old = yield* auditRecords([401, 200])
        const newest = yield* auditRecords([399, 40], [500, 1])
        const said = yield* dryRun()
        assert.isNull(yield* audit.checkpoint)
        const steps: Array<string> = []
        const pruned = yield* run({}, (doing, table, done, of) =>
          Effect.sync(() => steps.push(`${doing} ${table} ${done} of ${of}`))
        )
        assert.deepStrictEqual(counts(pruned), counts(said))
        assert.deepStrictEqual(steps, [
          ...[0, 1000, 2000, 2541].map((done) => `verified federation_audit ${done} of 2541`),
          ...[1000, 2000, 2500].map((done) => `deleted federation_audit ${done} of 2500`),
          ...[1, 1].map((done) => `deleted federation_audit_heads ${done} of 1`)
        ])
        // A record that is old and was sealed behind a younger one stays: the chain has no holes.
        assert.strictEqual(rowsIn(pruned, "federation_audit"), 2500)
        const checkpoint = yield* audit.checkpoint
        assert(checkpoint !== null && pruned.checkpoint !== null && said.checkpoint !== null)
        assert.deepStrictEqual([checkpoint.height, checkpoint.hash], [2500, old.hash])
        assert.deepStrictEqual(
          [said.checkpoint.height, said.checkpoint.hash, said.checkpoint.at],
          [2500, old.hash, null]
        )
        assert.strictEqual(checkpoint.publicKey, key.publicKey)
        assert.strictEqual((yield* left("federation_audit_chain", "height")).length, 41)

        while ((yield* audit.seal).sealed > 0) yield* Effect.yieldNow
        const verified = yield* verifyAudit(newest)
        assert.deepInclude(verified, { checked: 43, checkpoint, unsealed: 0 })
        assert.deepInclude(verified.end, { height: 2543 })
        const [first, ...rest] = yield* audit.entries({ after: 0, limit: 1000 })
        assert.strictEqual(first?.height, 2501)
        assert.deepInclude(rest.at(-1), { action: "db.prune", outcome: "done", height: 2543 })
        // A head at the very checkpoint is held against it, one from before can be held against nothing.
        assert.strictEqual((yield* verifyAudit(old)).heads, verified.heads)
        const { hash } = newest
        const differing = key.sign("head", { height: 2500, hash }, newest.at)
        assert.strictEqual((yield* Effect.flip(verifyAudit(differing))).code, "AUDIT_CHAIN_BROKEN")

        const further = yield* run({ audit: Duration.zero })
        assert.strictEqual(rowsIn(further, "federation_audit"), 43)
        assert.deepInclude(further.checkpoint, { height: 2543 })
        assert.strictEqual((yield* audit.state).head.height, 2543)
        while ((yield* audit.seal).sealed > 0) yield* Effect.yieldNow
        assert.deepInclude(yield* verifyAudit(null), { checked: 2, unsealed: 0 })
        assert.deepStrictEqual(yield* left("federation_audit_checkpoints", "height"), ["2543"])
      })
    )
  )

  it.effect("whatever is done to the record behind it is found and located", () =>
    inDatabase(
      Effect.gen(function* () {
        yield* auditRecords([500, 20], [1, 10])
        const early = (yield* AuditRepo.use((audit) => audit.links(0)))[9]
        const key = yield* AuditKey
        yield* run()
        const checkpoint = yield* AuditRepo.use((audit) => audit.checkpoint)
        assert.strictEqual(checkpoint?.height, 20)
        const unfit = "the checkpoint at height 20: the signature does not fit what it signs"
        const cut = "at height 1: heights 1 to 20 are missing: cut out of the chain"
        for (const change of [
          `hash = '${"ab".repeat(32)}'`,
          "at = at + interval '1 second'",
          `signature = '${"A".repeat(86)}'`
        ]) {
          const found = yield* failureAfter(
            (sql) => sql`UPDATE federation_audit_checkpoints SET ${sql.literal(change)}`
          )
          assert.deepStrictEqual(found, ["AUDIT_SIGNATURE_INVALID", unfit])
        }
        assert.deepStrictEqual(yield* failureAfter((sql) => sql`DELETE FROM federation_audit_checkpoints`), [
          "AUDIT_CHAIN_BROKEN",
          cut
        ])
        assert.deepStrictEqual(
          yield* failureAfter((sql) => sql`UPDATE federation_audit_checkpoints SET height = 22`),
          ["AUDIT_SIGNATURE_INVALID", unfit.replace("20", "22")]
        )
        // Of an earlier prune, say from a backup: the signature is good, and the chain has a gap.
        assert(early !== undefined)
        const earlier = key.sign("checkpoint", early, "2026-01-01T00:00:00.000Z")
        assert.deepStrictEqual(
          yield* failureAfter(
            (sql) => sql`
              UPDATE federation_audit_checkpoints
              SET height = ${earlier.height}, hash = ${earlier.hash}, at = ${earlier.at}::text::timestamptz,
                signature = ${earlier.signature}`
          ),
          ["AUDIT_CHAIN_BROKEN", "at height 11: heights 11 to 20 are missing: cut out of the chain"]
        )
        writeFileSync(
          join(home, "other.key"),
          generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" })
        )
        const other = yield* AuditKey.pipe(
          Effect.provide(Layer.fresh(AuditKey.layer)),
          Effect.provide(environment({ MOSAIC_AUDIT_KEY_FILE: join(home, "other.key") }))
        )
        const links = yield* AuditRepo.use((audit) => audit.links(20))
        const forged = other.sign("checkpoint", links[4] ?? early, "2026-01-01T00:00:00.000Z")
        assert.deepStrictEqual(
          yield* failureAfter((sql) =>
            Effect.andThen(
              sql`DELETE FROM federation_audit_chain WHERE height <= 25`,
              sql`
                INSERT INTO federation_audit_checkpoints (height, hash, at, public_key, signature)
                VALUES (${forged.height}, ${forged.hash}, ${forged.at}::text::timestamptz, ${forged.publicKey},
                  ${forged.signature})`
            )
          ),
          [
            "AUDIT_SIGNATURE_INVALID",
            `the checkpoint at height 25: it is signed by the key ${keyIdOf(other.publicKey)}, which is not trusted here`
          ]
        )
        // A head is no checkpoint, whoever signed it.
        const head = key.sign("head", links[4] ?? early, "2026-01-01T00:00:00.000Z")
        assert.deepStrictEqual(
          yield* failureAfter(
            (sql) => sql`
              INSERT INTO federation_audit_checkpoints (height, hash, at, public_key, signature)
              VALUES (${head.height}, ${head.hash}, ${head.at}::text::timestamptz, ${head.publicKey}, ${head.signature})`
          ),
          ["AUDIT_SIGNATURE_INVALID", unfit.replace("20", "25")]
        )
        assert.deepStrictEqual(
          yield* failureAfter(
            (sql) => sql`DELETE FROM federation_audit WHERE id = ${links[0]?.recordId ?? 0}`
          ),
          ["AUDIT_CHAIN_BROKEN", `at height 21: record ${links[0]?.recordId} was removed`]
        )
        assert.deepStrictEqual(
          yield* failureAfter((sql) => sql`DELETE FROM federation_audit_chain WHERE height <= 23`),
          ["AUDIT_CHAIN_BROKEN", "at height 21: heights 21 to 23 are missing: cut out of the chain"]
        )
        assert.strictEqual((yield* verifyAudit(null)).checked, 10)
        // Nothing is deleted of a record that is broken.
        const sql = yield* SqlClient
        yield* sql`UPDATE federation_audit SET requester = 'cli:nobody' WHERE id = ${links[0]?.recordId ?? 0}`
        for (const attempt of [run(short), dryRun(short)]) {
          assert.strictEqual((yield* Effect.flip(attempt)).code, "AUDIT_CHAIN_BROKEN")
        }
        assert.strictEqual((yield* left("federation_audit_chain", "height")).length, 10)
      })
    )
  )

  it.effect("is proved by whoever walks along it while the checkpoint moves", () =>
    inDatabase(
      Effect.gen(function* () {
        yield* auditRecords([500, 1500], [1, 10])
        const audit = yield* AuditRepo
        const key = yield* AuditKey
        let pruned = false
        const source = {
          ...audit,
          links: (after: number) =>
            Effect.gen(function* () {
              if (after > 0 && !pruned) {
                pruned = true
                yield* run().pipe(Effect.provideContext(context))
              }
              return yield* audit.links(after)
            })
        }
        const context = yield* Effect.context<SqlClient | AuditRepo | AuditKey>()
        const verified = yield* verifyChain(source, key, { kept: null })
        assert.isTrue(pruned)
        assert.deepInclude(verified, { checked: 10 })
        assert.strictEqual(verified.checkpoint?.height, 1500)
      })
    )
  )

  it.effect("can be ended in its middle, and goes on from there", () =>
    inDatabase(
      Effect.gen(function* () {
        const make = yield* records
        const grant = yield* make.grant(-500)
        yield* SqlClient.use(
          (sql) => sql`
            INSERT INTO federation_certificates
              (serial, grant_id, subject_user_id, csr_sha256, state, requested_at, not_after, error_code, settled_at)
            SELECT (10000000000000000000 + n)::text, id, subject_user_id, lpad(to_hex(n), 64, '0'), 'refused',
              now() - interval '500 days', now() - interval '499 days', 'CA_REFUSED', now() - interval '500 days'
            FROM federation_grants, generate_series(1, 2500) n WHERE id = ${grant}`
        )
        yield* auditRecords([500, 2500])
        for (const stop of ["federation_audit", "federation_certificates"]) {
          const reached = yield* Deferred.make<void>()
          const fiber = yield* Effect.forkChild(
            run({}, (doing, table, done) =>
              doing === "deleted" && table === stop && done >= 1000
                ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
                : Effect.void
            )
          )
          yield* Deferred.await(reached)
          yield* Fiber.interrupt(fiber)
          yield* verifyAudit(null)
        }
        assert.strictEqual((yield* left("federation_certificates", "serial")).length, 1500)
        const pruned = yield* run()
        assert.strictEqual(rowsIn(pruned, "federation_certificates"), 1500)
        assert.deepStrictEqual(yield* left("federation_grants", "id"), [])
        const entries = yield* SqlClient.use(
          (sql) => sql<{ outcome: string }>`SELECT outcome FROM federation_audit ORDER BY id`
        )
        assert.deepStrictEqual(
          entries.map(({ outcome }) => outcome),
          ["begun", "begun", "begun", "done"]
        )
      })
    )
  )

  it.effect("is done by one at a time: another says since when", () =>
    inDatabase(
      Effect.gen(function* () {
        yield* auditRecords([500, 3])
        const { first, go } = yield* heldRun
        const error = yield* Effect.flip(run())
        assert.deepStrictEqual(
          [error.code, error.retryable, error.remediation],
          [
            "PRUNE_UNDER_WAY",
            true,
            "wait for it; where it hangs, see which session has the lock: SELECT * FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory'"
          ]
        )
        assert.match(error.message, /^another process has been at it since \d{4}-\d\d-\d\dT[\d:.]+Z$/)
        assert.match(
          error.remediation,
          /^wait for it; where it hangs, see which session has the lock: SELECT /
        )
        assert.strictEqual(rowsIn(yield* dryRun(), "federation_audit"), 0)
        yield* Deferred.succeed(go, undefined)
        assert.strictEqual(rowsIn(yield* Fiber.join(first), "federation_audit"), 3)
        assert.strictEqual(rowsIn(yield* run(), "federation_audit"), 0)
      })
    )
  )

  it.effect("is refused to the server's login, and to a key that is not the gateways'", () =>
    inDatabase(
      Effect.gen(function* () {
        const password = Redacted.make("0123456789abcdef0123456789abcdef")
        yield* auditRecords([500, 3])
        yield* setAppPassword(password)
        const { config } = yield* PgClient.PgClient
        const { database } = config
        const { connection } = yield* EmbeddedPostgres
        assert(database !== undefined)
        for (const attempt of [run(), dryRun()]) {
          const error = yield* Effect.flip(
            attempt.pipe(
              Effect.provide(
                AuditRepo.layerNoDeps.pipe(
                  Layer.provideMerge(
                    Layer.orDie(PgClient.layer({ ...connection, username: "mosaic_app", password, database }))
                  )
                )
              )
            )
          )
          assert.deepStrictEqual(
            [error.code, error.message, error.exitCode, error.remediation],
            [
              "STORAGE_RIGHT_MISSING",
              "the login mosaic_app has no right to DELETE on federation_audit",
              8,
              "set MOSAIC_DATABASE_OWNER_URL (or _FILE) to the login that mosaic db migrate uses: docs/federation/audit.md"
            ]
          )
        }
        const ours = yield* AuditKey
        const { privateKey, publicKey } = generateKeyPairSync("ed25519")
        const theirs = keyIdOf(publicKey.export({ format: "der", type: "spki" }).toString("base64url"))
        const strange = yield* AuditKey.pipe(
          Effect.provide(Layer.fresh(AuditKey.layer)),
          Effect.provide(
            environment({
              MOSAIC_AUDIT_KEY: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
              MOSAIC_AUDIT_TRUST: `${keyIdOf(ours.publicKey)},${theirs}`
            })
          )
        )
        const error = yield* Effect.flip(Effect.provideService(run(), AuditKey, strange))
        assert.deepStrictEqual(
          [error.code, error.message],
          [
            "AUDIT_SIGNATURE_INVALID",
            `the newest head on record: it is signed by the key ${keyIdOf(ours.publicKey)}, and a checkpoint would be by ${keyIdOf(strange.publicKey)}, which the gateways need not believe`
          ]
        )
        assert.strictEqual((yield* left("federation_audit", "id")).length, 3)
      })
    )
  )

  it.effect("needs no superuser: the owner of the tables may do all of it", () =>
    Effect.gen(function* () {
      const { connection } = yield* EmbeddedPostgres
      const name = `owner_${randomUUID().replaceAll("-", "")}`
      const password = "0123456789abcdef"
      yield* SqlClient.use((sql) =>
        Effect.andThen(
          sql`CREATE ROLE ${sql(name)} LOGIN PASSWORD '${sql.literal(password)}'`,
          sql`CREATE DATABASE ${sql(name)} OWNER ${sql(name)}`
        )
      ).pipe(Effect.provide(PgClient.layer(connection)))
      yield* Effect.gen(function* () {
        yield* migrate()
        const make = yield* records
        yield* make.certificate(yield* make.grant(-500), -500)
        yield* auditRecords([500, 3])
        const { first, go } = yield* heldRun
        assert.match((yield* Effect.flip(run())).message, /^another process has been at it since \d{4}-/)
        yield* Deferred.succeed(go, undefined)
        const pruned = yield* Fiber.join(first)
        assert.deepStrictEqual(
          pruned.tables.filter(({ rows }) => rows > 0).map(({ rows, table }) => [table, rows]),
          [
            ["federation_audit", 3],
            ["federation_certificates", 1],
            ["federation_grants", 1]
          ]
        )
      }).pipe(
        Effect.provide(Layer.merge(AuditRepo.layerNoDeps, Layer.fresh(AuditKey.layer))),
        Effect.provide(
          PgClient.layer({
            ...connection,
            username: name,
            password: Redacted.make(password),
            database: name
          })
        ),
        Effect.provide(environment({ MOSAIC_HOME: home }))
      )
    })
  )
})
