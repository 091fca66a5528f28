/** Migrations from the command line: forward only, one at a time, and never behind the back of other replicas. */
import { randomUUID } from "node:crypto"
import { existsSync, mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { assert, layer } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import { EmbeddedPostgres } from "@mosaic-federation/issuance/EmbeddedPostgres"
import { latestMigration } from "@mosaic-federation/issuance/Migrations"
import { grants } from "@mosaic-federation/issuance/migrations/0001_grants"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { Effect, Layer, Redacted } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import {
  createGrant,
  documentOf,
  type ErrorDocument,
  finish,
  mosaic,
  start,
  station
} from "./support/mosaic.ts"

interface Status extends Partial<ErrorDocument> {
  readonly schema: number
  readonly known: number
  readonly applied: ReadonlyArray<{ readonly id: number; readonly name: string; readonly appliedAt: string }>
  readonly pending: ReadonlyArray<{ readonly id: number; readonly name: string }>
}

interface Migrated {
  readonly schema: number
  readonly applied: ReadonlyArray<{ readonly id: number; readonly name: string }>
  readonly appRole: boolean
}

const ServerLayer = Layer.unwrap(
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-db-"))),
      removeDirectory
    ),
    EmbeddedPostgres.layerAt
  )
)

/** A database of its own, a client that asks no questions about its schema, and a station whose file names it. */
const fresh = Effect.fnUntraced(function* (tier: "local" | "federated") {
  const { connection } = yield* EmbeddedPostgres
  const { password, path, username } = connection
  const database = `test_${randomUUID().replaceAll("-", "")}`
  const administer = (statement: (sql: SqlClient) => Effect.Effect<unknown, SqlError>) =>
    SqlClient.use(statement).pipe(Effect.provide(PgClient.layer(connection)))
  yield* Effect.acquireRelease(
    administer((sql) => sql`CREATE DATABASE ${sql(database)}`),
    // Its pages need not be written when the server stops.
    () => Effect.orDie(administer((sql) => sql`DROP DATABASE ${sql(database)} WITH (FORCE)`))
  )
  const where = yield* station()
  const file = {
    tier,
    database: `postgresql://${username}:${Redacted.value(password)}@/${database}?host=${dirname(path)}`,
    // Nothing listens there: no command of this page needs it.
    queue: "redis://127.0.0.1:1"
  }
  writeFileSync(join(where.directory, "mosaic.config.json"), JSON.stringify(file), { mode: 0o600 })
  return { where, plain: PgClient.layer({ ...connection, database }) }
})

const all = Array.from({ length: latestMigration }, (_, index) => index + 1)

const ids = (migrations: ReadonlyArray<{ readonly id: number }>) => migrations.map(({ id }) => id)

const status = Effect.fnUntraced(function* (
  where: Parameters<typeof mosaic>[0],
  ...args: ReadonlyArray<string>
) {
  const { code, stdout } = yield* mosaic(where, ["db", "status", ...args, "--json"])
  return { code, ...documentOf<Status>(stdout) }
})

layer(ServerLayer, { timeout: "60 seconds", excludeTestServices: true })("mosaic db", (it) => {
  it.effect("migrate applies what status says is pending, and nothing twice", () =>
    Effect.gen(function* () {
      const { where } = yield* fresh("federated")
      const before = yield* status(where)
      assert.deepInclude(before, { code: 0, schema: 0, known: latestMigration, applied: [] })
      assert.deepStrictEqual(ids(before.pending), all)
      const first = yield* mosaic(where, ["db", "migrate", "--json"])
      assert.deepStrictEqual([first.code, first.stderr], [0, ""])
      assert.deepStrictEqual(documentOf<Migrated>(first.stdout), {
        schema: latestMigration,
        applied: before.pending,
        appRole: true
      })
      const after = yield* status(where, "--check")
      assert.deepInclude(after, { code: 0, schema: latestMigration, pending: [] })
      assert.deepStrictEqual(ids(after.applied), all)
      assert.isAtMost(Math.abs(Date.parse(after.applied[0]?.appliedAt ?? "") - Date.now()), 60_000)
      const again = yield* mosaic(where, ["db", "migrate"])
      assert.deepStrictEqual(again, {
        code: 0,
        stdout: `The schema is up to date, at migration ${latestMigration}: nothing was to be done\n`,
        stderr: ""
      })
      const people = yield* mosaic(where, ["db", "status"])
      assert.match(people.stdout, /^0001_grants +applied +\d{4}-\d\d-\d\dT/m)
    })
  )

  it.effect("migrate is done by one of eight replicas, the others find nothing to do", () =>
    Effect.gen(function* () {
      const { plain, where } = yield* fresh("federated")
      const ran = yield* Effect.promise(() =>
        Promise.all(Array.from({ length: 8 }, () => finish(start(where, ["db", "migrate", "--json"]))))
      )
      for (const { code, stderr } of ran) assert.deepStrictEqual([code, stderr], [0, ""])
      const applied = ran.map(({ stdout }) => ids(documentOf<Migrated>(stdout).applied))
      assert.deepStrictEqual(
        applied.toSorted((a, b) => b.length - a.length),
        [all, ...Array.from({ length: 7 }, () => [])]
      )
      const rows = yield* SqlClient.use(
        (sql) => sql<{ id: number }>`SELECT migration_id AS id FROM federation_migrations ORDER BY 1`
      ).pipe(Effect.provide(plain))
      assert.deepStrictEqual(ids(rows), all)
    })
  )

  it.effect("waits for whoever migrates, and looks again then", () =>
    Effect.gen(function* () {
      const { plain, where } = yield* fresh("federated")
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        // "mosaic" in ASCII, as another replica takes it.
        const [pending, waited] = yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`SELECT pg_advisory_xact_lock(${0x6d6f_7361_6963}::bigint)`
            const migrator = finish(start(where, ["db", "migrate", "--json"]))
            const waiters = sql<{ count: number }>`
              SELECT count(*)::int AS count FROM pg_locks
              WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))`
            while ((yield* waiters)[0]?.count !== 1) yield* Effect.sleep("20 millis")
            const tables = yield* sql`SELECT to_regclass('federation_grants')::text AS grants`
            return [migrator, tables] as const
          })
        )
        assert.deepStrictEqual(waited, [{ grants: null }])
        const { code, stdout } = yield* Effect.promise(() => pending)
        assert.strictEqual(code, 0)
        assert.deepStrictEqual(ids(documentOf<Migrated>(stdout).applied), all)
      }).pipe(Effect.provide(plain))
    })
  )

  it.effect("leaves nothing behind where it is killed in mid-migration", () =>
    Effect.gen(function* () {
      const { plain, where } = yield* fresh("federated")
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        const inTheWay = Effect.gen(function* () {
          // The migration has to wait for this table to come or to go.
          yield* sql`CREATE TABLE federation_certificates ()`
          const migrator = start(where, ["db", "migrate"])
          const ended = finish(migrator)
          const waiting = sql<{ count: number }>`
            SELECT count(*)::int AS count FROM pg_locks
            WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))`
          while ((yield* waiting)[0]?.count !== 1) yield* Effect.sleep("20 millis")
          migrator.kill("SIGKILL")
          yield* Effect.promise(() => ended)
          return yield* Effect.fail("rolled back" as const)
        })
        assert.strictEqual(yield* Effect.flip(sql.withTransaction(inTheWay)), "rolled back")
      }).pipe(Effect.provide(plain))
      const { applied, pending } = yield* status(where)
      assert.deepStrictEqual([applied, ids(pending)], [[], all])
      const again = yield* mosaic(where, ["db", "migrate", "--json"])
      assert.deepStrictEqual([again.code, ids(documentOf<Migrated>(again.stdout).applied)], [0, all])
    })
  )

  it.effect("refuses a newer schema, and shows it", () =>
    Effect.gen(function* () {
      for (const tier of ["local", "federated"] as const) {
        const { plain, where } = yield* fresh(tier)
        yield* mosaic(where, ["db", "migrate"])
        yield* SqlClient.use(
          (sql) => sql`INSERT INTO federation_migrations (migration_id, name) VALUES (99, 'later')`
        ).pipe(Effect.provide(plain))
        for (const args of [
          ["db", "migrate"],
          ["federation", "grant", "list"]
        ]) {
          const { code, stdout } = yield* mosaic(where, [...args, "--json"])
          assert.strictEqual(code, 7)
          const { error } = documentOf<ErrorDocument>(stdout)
          assert.deepStrictEqual(
            [error.code, error.message, error.remediation],
            [
              "STORAGE_SCHEMA_NEWER",
              `the schema is at migration 99, this version knows up to ${latestMigration}`,
              "use the newer version of mosaic, or point DATABASE_URL or MOSAIC_HOME at another database"
            ]
          )
        }
        const shown = yield* status(where)
        assert.deepInclude(shown, { code: 7, schema: 99, pending: [] })
        assert.strictEqual(shown.error?.code, "STORAGE_SCHEMA_NEWER")
        const people = yield* mosaic(where, ["db", "status"])
        assert.match(people.stdout, /^0099_later +applied, unknown here /m)
        assert.match(people.stderr, /^The database belongs to a newer version \(STORAGE_SCHEMA_NEWER\)\n/)
      }
    })
  )

  /** As a version that knew the first migration alone left it. */
  const behind = Effect.fnUntraced(function* (tier: "local" | "federated") {
    const { plain, where } = yield* fresh(tier)
    const loader = Migrator.fromRecord({ "0001_grants": grants })
    yield* Migrator.make({})({ loader, table: "federation_migrations" }).pipe(Effect.provide(plain))
    return where
  })

  it.effect("leaves a shared database that is behind to db migrate", () =>
    Effect.gen(function* () {
      const where = yield* behind("federated")
      const refused = yield* mosaic(where, ["federation", "grant", "list"])
      assert.deepStrictEqual(refused, {
        code: 7,
        stdout: "",
        stderr: `The database awaits its migration to this version (STORAGE_SCHEMA_OLDER)
  why: the schema is at migration 1, this version needs ${latestMigration}
  do:  look at what is pending and apply it: mosaic db status, then mosaic db migrate; replicas of the version before are refused from then on
`
      })
      const shown = yield* status(where)
      assert.deepStrictEqual([shown.code, ids(shown.pending)], [0, all.slice(1)])
      const checked = yield* status(where, "--check")
      assert.deepStrictEqual([checked.code, checked.error?.code], [7, "STORAGE_SCHEMA_OLDER"])
      const people = yield* mosaic(where, ["db", "status"])
      assert.match(people.stdout, /pending +-\n\nNext: mosaic db migrate\n$/)
      const migrated = yield* mosaic(where, ["db", "migrate", "--json"])
      assert.deepStrictEqual(ids(documentOf<Migrated>(migrated.stdout).applied), all.slice(1))
      assert.strictEqual((yield* mosaic(where, ["federation", "grant", "list"])).code, 0)
    })
  )

  it.effect("is not needed on one machine, nor for the first start of a shared database", () =>
    Effect.gen(function* () {
      const old = yield* behind("local")
      assert.strictEqual((yield* mosaic(old, ["federation", "grant", "list"])).code, 0)
      assert.deepInclude(yield* status(old), { schema: latestMigration, pending: [] })
      const { where: empty } = yield* fresh("federated")
      assert.match(yield* createGrant(empty), /^[0-9a-f-]{36}$/)
      assert.deepInclude(yield* status(empty), { schema: latestMigration, pending: [] })
    })
  )

  it.effect("status makes no database where there is none", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const { applied, code, pending } = yield* status(where)
      assert.deepStrictEqual([code, applied, ids(pending)], [0, [], all])
      assert.isFalse(existsSync(where.environment["MOSAIC_HOME"] ?? ""))
    })
  )
})
