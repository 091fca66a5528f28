/** `mosaic db prune` as it is run by a timer: beside a gateway that serves, twice at once, killed, and without the right to it. */
import { createHash, randomUUID } from "node:crypto"
import { existsSync, mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { EmbeddedPostgres } from "@mosaic-federation/issuance/EmbeddedPostgres"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { federated } from "./support/federatedDatabase.ts"
import { makeKey, startGateway } from "./support/gatewayProcess.ts"
import {
  createGrant,
  documentOf,
  type ErrorDocument,
  finish,
  mosaic,
  start,
  type Station,
  station
} from "./support/mosaic.ts"

interface Pruned {
  readonly dryRun: boolean
  readonly rows: number
  readonly tables: ReadonlyArray<{
    readonly table: string
    readonly before: string
    readonly rows: number
    readonly kept: number
    readonly oldestKept: string | null
  }>
  readonly checkpoint: {
    readonly height: number
    readonly hash: string
    readonly at: string | null
  } | null
  readonly unsealed: number
}

interface Verified extends Partial<ErrorDocument> {
  readonly height: number
  readonly checked: number
  readonly unsealed: number
  readonly checkpoint: Pruned["checkpoint"]
  readonly given: { readonly height: number; readonly compared: boolean } | null
}

const TestLayer = Layer.merge(
  StepCaProcess.layer(),
  Layer.unwrap(
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-prune-"))),
        removeDirectory
      ),
      EmbeddedPostgres.layerAt
    )
  )
)

const appPassword = "correct-horse-battery"

/** Migrated, with that many old audit records, and a server that logs in as mosaic_app. */
const readied = Effect.fnUntraced(function* (oldRecords: number) {
  const { owner, plain, rootPath, urlOf, use, where } = yield* federated
  const asOwner = { MOSAIC_DATABASE_OWNER_URL: owner }
  const args = ["db", "migrate", "--app-password-file", "-"]
  const migrated = yield* mosaic(where, args, { ...asOwner, input: appPassword })
  assert.strictEqual(migrated.code, 0, migrated.stderr)
  use(urlOf("mosaic_app", appPassword))
  const query = (text: string) =>
    SqlClient.use((sql) => sql.unsafe<Readonly<Record<string, string>>>(text)).pipe(
      Effect.provide(plain),
      Effect.orDie
    )
  yield* query(`INSERT INTO federation_audit (at, action, outcome, requester, request_id)
    SELECT date_trunc('milliseconds', now() - interval '500 days'), 'grant.create', 'done', 'cli:before', 'request ' || n
    FROM generate_series(1, ${oldRecords}) n`)
  return { where, asOwner, query, plain, rootPath }
})

const verify = Effect.fnUntraced(function* (where: Station, ...args: ReadonlyArray<string>) {
  const { code, stdout } = yield* mosaic(where, ["audit", "verify", ...args, "--json"])
  return { code, ...documentOf<Verified>(stdout) }
})

/** Whoever seals has some time to do it. */
const sealed: (where: Station) => Effect.Effect<Verified & { readonly code: number | null }> =
  Effect.fnUntraced(function* (where) {
    const found = yield* verify(where)
    return found.unsealed === 0 ? found : yield* sealed(where)
  })

const pruneArgs = ["db", "prune", "--json"]

const pruneIn = Effect.fnUntraced(function* (
  where: Station,
  env: Readonly<Record<string, string>>,
  ...args: ReadonlyArray<string>
) {
  const { code, stderr, stdout } = yield* mosaic(where, [...pruneArgs, ...args], env)
  assert.strictEqual(code, 0, stdout + stderr)
  return documentOf<Pruned>(stdout)
})

const refused = Effect.fnUntraced(function* (
  where: Station,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
) {
  const { code, stdout } = yield* mosaic(where, [...args, "--json"], env)
  return { exit: code, ...documentOf<ErrorDocument>(stdout).error }
})

/** Alike in a dry run and a run, but for the moments at which they were asked. */
const withoutTimes = ({ checkpoint, rows, tables, unsealed }: Pruned) => ({
  rows,
  unsealed,
  tables: tables.map(({ kept, oldestKept, rows, table }) => ({ table, rows, kept, oldestKept })),
  point: checkpoint === null ? null : [checkpoint.height, checkpoint.hash]
})

const rowsIn = ({ tables }: Pruned, name: string) => tables.find(({ table }) => table === name)?.rows

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

/** A grant that ended long ago, with a certificate and a token, and what needs none of them any more. */
const longAgo = (serial: string) => `
  WITH g AS (
    INSERT INTO federation_grants (id, subject_user_id, peer, scopes, status, expires_at, created_at)
    VALUES ('${randomUUID()}', '${randomUUID()}', 'gone.example', '{}', 'active', now() - interval '450 days',
      now() - interval '500 days') RETURNING *
  ), c AS (
    INSERT INTO federation_certificates (serial, grant_id, subject_user_id, csr_sha256, state, requested_at, not_after,
      error_code, settled_at)
    SELECT '${serial}', id, subject_user_id, '${sha256(serial)}', 'refused', created_at, expires_at, 'CA_REFUSED', created_at
    FROM g
  ) INSERT INTO federation_enrollment_tokens (id, grant_id, token_sha256, created_at, created_by, expires_at)
  SELECT gen_random_uuid(), id, '${sha256(`${serial}.`)}', created_at, 'cli:before', expires_at FROM g`

layer(TestLayer, { timeout: "180 seconds", excludeTestServices: true })("mosaic db prune", (it) => {
  it.effect("needs nothing but the command on one machine, and makes no database", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const none = yield* refused(where, ["db", "prune"])
      assert.deepStrictEqual([none.exit, none.code], [7, "STORAGE_SCHEMA_OLDER"])
      assert.isFalse(existsSync(where.environment["MOSAIC_HOME"] ?? ""))
      yield* createGrant(where)
      yield* createGrant(where)
      // Not sealed yet, so that none of it may go.
      const unsealed = yield* pruneIn(where, {}, "--keep-audit", "1s")
      assert.deepInclude(unsealed, { rows: 0, checkpoint: null, unsealed: 2 })
      writeFileSync(
        join(where.directory, "early.json"),
        (yield* mosaic(where, ["audit", "verify", "--json"])).stdout
      )
      yield* createGrant(where)
      writeFileSync(
        join(where.directory, "head.json"),
        (yield* mosaic(where, ["audit", "verify", "--json"])).stdout
      )
      // Older than the period of a second.
      const due = Effect.gen(function* () {
        while (
          rowsIn(yield* pruneIn(where, {}, "--dry-run", "--keep-audit", "1s"), "federation_audit") !== 3
        ) {
          yield* Effect.sleep("100 millis")
        }
      })
      yield* due
      const said = yield* mosaic(where, ["db", "prune", "--dry-run", "--keep-audit", "1s"])
      assert.match(
        said.stdout,
        /^TABLE +ENDED BEFORE +WOULD GO +KEPT +OLDEST KEPT\nfederation_audit +\S+ +3 +0 +-\n[^]*federation_grants +\S+ +0 +3 +\d{4}-\S+\n\n4 rows would be deleted; nothing was changed\.\nThe audit record would begin behind height 3\.\n$/
      )
      const pruned = yield* mosaic(where, ["db", "prune", "--keep-audit", "1s"])
      assert.strictEqual(
        pruned.stdout.replaceAll(/ +/g, " ").replaceAll(/\d{4}-\S+Z/g, "*"),
        said.stdout
          .replace("WOULD GO", "DELETED")
          .replace("would be deleted; nothing was changed", "were deleted")
          .replace("would begin", "begins")
          .replaceAll(/ +/g, " ")
          .replaceAll(/\d{4}-\S+Z/g, "*")
      )
      const people = yield* mosaic(where, ["audit", "verify"])
      assert.match(
        people.stdout,
        /^The audit record is intact: 2 entries behind the checkpoint at height 3, [^]*\nbegins +at height 4, by a checkpoint that was signed at \d{4}-\S+Z\n/
      )
      // The end of what was pruned is the start of what is there; a head from before has nothing to be held against.
      const held = yield* verify(where, "--head", "head.json")
      assert.deepStrictEqual([held.code, held.given], [0, { height: 3, compared: true }])
      const older = yield* verify(where, "--head", "early.json")
      assert.deepStrictEqual([older.code, older.given], [0, { height: 2, compared: false }])
      const told = yield* mosaic(where, ["audit", "verify", "--head", "early.json"])
      assert.include(
        told.stdout,
        "The head that was given is of height 2, and everything up to height 3 is pruned: its signature is good, and there is nothing left to hold it against.\n"
      )
      const exported = yield* mosaic(where, ["audit", "export"])
      assert.strictEqual(exported.stdout.trim().split("\n").length, 2)
      assert.strictEqual(
        exported.stderr,
        "Nothing is there from height 1 to 3: pruned, or cut out, as mosaic audit verify tells.\n"
      )
      const tail = yield* mosaic(where, ["audit", "tail"])
      assert.match(
        tail.stdout,
        /db\.prune +begun[^]*cli:\S+ +db\.prune +done +- +3 of federation_audit before /
      )
    })
  )

  it.effect("works beside a gateway that serves, which goes on issuing, and is refused to its login", () =>
    Effect.gen(function* () {
      const { asOwner, query, rootPath, where } = yield* readied(1500)
      for (const serial of ["10000000000000000001", "10000000000000000002"]) yield* query(longAgo(serial))
      const { key } = yield* makeKey(where, "admin")
      const gateway = yield* startGateway(where)
      const operator = yield* station({
        MOSAIC_GATEWAY_URL: gateway.url,
        MOSAIC_GATEWAY_ROOT: rootPath,
        MOSAIC_API_KEY: key
      })
      const grant = yield* createGrant(operator)
      const issue = (name: string) =>
        mosaic(operator, [
          "federation",
          "cert",
          "issue",
          "--grant",
          grant,
          "--key-out",
          `${name}.key`,
          "--cert-out",
          `${name}.crt`,
          "--json"
        ])
      const first = yield* issue("first")
      assert.strictEqual(first.code, 0, first.stdout)
      yield* sealed(where)

      for (const args of [
        ["db", "prune"],
        ["db", "prune", "--dry-run"]
      ]) {
        const { code, exit, message, remediation } = yield* refused(where, args)
        assert.deepStrictEqual(
          [exit, code, message, remediation],
          [
            8,
            "STORAGE_RIGHT_MISSING",
            "the login mosaic_app has no right to DELETE on federation_audit",
            "set MOSAIC_DATABASE_OWNER_URL (or _FILE) to the login that mosaic db migrate uses: docs/federation/audit.md"
          ]
        )
      }
      const said = yield* pruneIn(where, asOwner, "--dry-run")
      assert.deepStrictEqual([said.dryRun, said.checkpoint?.at], [true, null])
      assert.isNull((yield* verify(where)).checkpoint)
      const pruned = yield* pruneIn(where, asOwner)
      assert.isFalse(pruned.dryRun)
      assert.deepStrictEqual(withoutTimes(pruned), withoutTimes(said))
      assert.deepInclude(pruned.checkpoint, { height: 1500 })
      assert.deepStrictEqual(
        pruned.tables.filter(({ rows }) => rows > 0).map(({ rows, table }) => [table, rows]),
        [
          ["federation_audit", 1500],
          ["federation_enrollment_tokens", 2],
          ["federation_certificates", 2],
          ["federation_grants", 2]
        ]
      )
      const shown = yield* mosaic(operator, ["federation", "grant", "show", grant, "--json"])
      assert.deepInclude(documentOf<object>(shown.stdout), { id: grant, status: "active" })

      // The gateway's clients see a record that begins later, and prove it; what it issues is good.
      const second = yield* issue("second")
      assert.strictEqual(second.code, 0, second.stdout)
      for (const name of ["first.crt", "second.crt"]) {
        const args = ["federation", "cert", "verify", name, "--root", rootPath]
        assert.strictEqual((yield* mosaic(operator, args)).code, 0)
      }
      const here = yield* sealed(where)
      assert.deepInclude(here, { code: 0, checkpoint: pruned.checkpoint, checked: here.height - 1500 })
      const there = yield* verify(operator)
      assert.deepInclude(there, { code: 0, checkpoint: pruned.checkpoint, checked: here.checked })
      const { stdout } = yield* mosaic(operator, ["audit", "export", "--json"])
      const { entries } = documentOf<{ readonly entries: ReadonlyArray<{ readonly height: number }> }>(stdout)
      assert.deepStrictEqual(
        entries.map(({ height }) => height),
        Array.from({ length: here.checked }, (_, index) => 1501 + index)
      )

      // Whoever tampers with the checkpoint is found, here and from afar.
      const [kept] = yield* query("SELECT hash, signature FROM federation_audit_checkpoints")
      const both = Effect.gen(function* () {
        const found = yield* Effect.all([verify(where), verify(operator)])
        const [one, other] = found.map(({ code, error }) => [code, error?.code, error?.message])
        assert.deepStrictEqual(one, other)
        return one
      })
      yield* query(`UPDATE federation_audit_checkpoints SET hash = '${"ab".repeat(32)}'`)
      assert.deepStrictEqual(yield* both, [
        7,
        "AUDIT_SIGNATURE_INVALID",
        "the checkpoint at height 1500: the signature does not fit what it signs"
      ])
      yield* query(`UPDATE federation_audit_checkpoints SET hash = '${kept?.["hash"]}'`)
      yield* query("CREATE TABLE aside AS SELECT * FROM federation_audit_checkpoints")
      yield* query("DELETE FROM federation_audit_checkpoints")
      assert.deepStrictEqual(yield* both, [
        7,
        "AUDIT_CHAIN_BROKEN",
        "at height 1: heights 1 to 1500 are missing: cut out of the chain"
      ])
      yield* query("INSERT INTO federation_audit_checkpoints SELECT * FROM aside")
      assert.strictEqual((yield* verify(where)).code, 0)
      yield* query(
        "DELETE FROM federation_audit WHERE id = (SELECT record_id FROM federation_audit_chain WHERE height = 1502)"
      )
      const [code, name, message] = (yield* both) ?? []
      assert.deepStrictEqual([code, name], [7, "AUDIT_CHAIN_BROKEN"])
      assert.match(String(message), /^at height 1502: record \d+ was removed$/)
      const broken = yield* refused(where, ["db", "prune", "--keep-audit", "1s"], asOwner)
      assert.deepStrictEqual([broken.exit, broken.code], [7, "AUDIT_CHAIN_BROKEN"])
    })
  )

  it.effect("is done by one at a time, and leaves what can be proved where it is killed", () =>
    Effect.gen(function* () {
      const { asOwner, plain, query, where } = yield* readied(2500)
      yield* query(longAgo("10000000000000000003"))
      const gateway = yield* startGateway(where)
      yield* sealed(where)
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        const inTheWay = Effect.gen(function* () {
          // In the second batch of three.
          yield* sql`SELECT FROM federation_audit a JOIN federation_audit_chain c ON c.record_id = a.id
            WHERE c.height = 1500 FOR UPDATE OF a`
          const first = start(where, pruneArgs, asOwner)
          const ended = finish(first)
          const waiting = sql<{ count: number }>`
            SELECT count(*)::int AS count FROM pg_locks
            WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))`
          while ((yield* waiting)[0]?.count !== 1) yield* Effect.sleep("20 millis")
          const second = yield* refused(where, ["db", "prune"], asOwner)
          assert.deepStrictEqual([second.exit, second.code], [7, "PRUNE_UNDER_WAY"])
          assert.match(second.message, /^another process has been at it since \d{4}-\d\d-\d\dT[\d:.]+Z$/)
          assert.match(second.remediation, /^wait for it; where it hangs, see which session has the lock: /)
          first.kill("SIGKILL")
          assert.strictEqual((yield* Effect.promise(() => ended)).code, null)
          // PostgreSQL sees by its connection that the process is gone, and gives the lock back.
          const lock = sql<{ count: number }>`
            SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory' AND objid = ${0x72_756e65}`
          while ((yield* lock)[0]?.count !== 0) yield* Effect.sleep("20 millis")
        })
        yield* sql.withTransaction(inTheWay)
      }).pipe(Effect.provide(Layer.fresh(plain)))

      const after = yield* verify(where)
      assert.deepStrictEqual([after.code, after.checkpoint?.height], [0, 1000])
      const next = yield* pruneIn(where, asOwner)
      assert.strictEqual(rowsIn(next, "federation_audit"), 1500)
      assert.strictEqual(rowsIn(next, "federation_grants"), 1)
      const last = yield* sealed(where)
      assert.deepStrictEqual([last.code, last.checkpoint?.height], [0, 2500])
      const tail = yield* query("SELECT outcome FROM federation_audit WHERE action = 'db.prune' ORDER BY id")
      assert.deepStrictEqual(
        tail.map(({ outcome }) => outcome),
        ["begun", "begun", "done"]
      )
      assert.strictEqual(yield* gateway.end("SIGTERM"), 0)
    })
  )
})
