import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it, layer } from "@effect/vitest"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { inspect } from "node:util"
import * as Database from "../src/Database.ts"
import { EmbeddedPostgres, type EmbeddedConnection } from "../src/EmbeddedPostgres.ts"
import { latestMigration } from "../src/Migrations.ts"
import { command } from "./programs/Program.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "mosaic-test-"))),
  removeDirectory
)

const ServerLayer = Layer.unwrap(Effect.map(directory, EmbeddedPostgres.layerAt))

const urlOf = ({ password, path, username }: EmbeddedConnection, database: string) =>
  `postgresql://${username}:${Redacted.value(password)}@/${database}?host=${dirname(path)}`

/** A database of its own, with a client that asks no questions about its schema. */
const fresh = Effect.gen(function* () {
  const { connection } = yield* EmbeddedPostgres
  const database = `test_${randomUUID().replaceAll("-", "")}`
  yield* SqlClient.use((sql) => sql`CREATE DATABASE ${sql(database)}`).pipe(
    Effect.provide(PgClient.layer(connection))
  )
  return { url: urlOf(connection, database), plain: PgClient.layer({ ...connection, database }) }
})

const withEnv = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnv({ env }))

/** What becomes of a start under these settings, and one query. */
const start = (env: Record<string, string>) =>
  SqlClient.use((sql) => sql<{ one: number }>`SELECT 1 AS one`).pipe(
    Effect.provide(Database.layer.pipe(Layer.provide(withEnv(env))))
  )

const refusal = Effect.fnUntraced(function* (env: Record<string, string>) {
  const error = yield* Effect.flip(start(env))
  if (!("code" in error)) return assert.fail(String(error))
  assert.notInclude(inspect(error, { depth: 9 }) + JSON.stringify(error), "hunter2")
  return { code: error.code, message: error.message, remediation: error.remediation }
})

const migrations = SqlClient.use(
  (sql) => sql<{ id: number }>`SELECT migration_id AS id FROM federation_migrations ORDER BY 1`
)

const urlForm =
  "set DATABASE_URL to postgresql://USER:PASSWORD@HOST:5432/DATABASE, with ?sslmode=verify-full over a network"

describe("Database", () => {
  layer(ServerLayer, { timeout: "60 seconds", excludeTestServices: true })((test) => {
    test.effect("is migrated once by four processes at once", () =>
      Effect.gen(function* () {
        const { plain, url } = yield* fresh
        const all = yield* Effect.promise(() =>
          Promise.all([1, 2, 3, 4].map(() => command({ env: { DATABASE_URL: url } }).exited))
        )
        for (const { code, said } of all)
          assert.deepStrictEqual([code, said.length], [0, 1], JSON.stringify(said))
        const ids = (yield* Effect.provide(migrations, plain)).map(({ id }) => id)
        assert.deepStrictEqual(
          ids,
          Array.from({ length: latestMigration }, (_, index) => index + 1)
        )
      })
    )

    test.effect("takes its URL from a file as well", () =>
      Effect.gen(function* () {
        const { url } = yield* fresh
        const path = join(yield* directory, "url")
        yield* Effect.promise(() => writeFile(path, `${url}\n`))
        assert.deepStrictEqual(yield* start({ DATABASE_URL_FILE: path }), [{ one: 1 }])
      })
    )

    test.effect("leaves a database of a newer version alone", () =>
      Effect.gen(function* () {
        const { plain, url } = yield* fresh
        yield* start({ DATABASE_URL: url })
        yield* SqlClient.use(
          (sql) => sql`INSERT INTO federation_migrations (migration_id, name) VALUES (99, 'later')`
        ).pipe(Effect.provide(plain))
        assert.deepStrictEqual(yield* refusal({ DATABASE_URL: url }), {
          code: "STORAGE_SCHEMA_NEWER",
          message: `the schema is at migration 99, this version knows up to ${latestMigration}`,
          remediation:
            "use the newer version of mosaic, or point DATABASE_URL or MOSAIC_HOME at another database"
        })
      })
    )

    test.effect("leaves nothing behind where a migration fails", () =>
      Effect.gen(function* () {
        const { plain, url } = yield* fresh
        yield* Effect.provide(
          SqlClient.use((sql) => sql`CREATE TABLE federation_certificates ()`),
          plain
        )
        const { code, message } = yield* refusal({ DATABASE_URL: url })
        assert.strictEqual(code, "STORAGE_FAILED")
        assert.strictEqual(
          message,
          'migrate the schema: relation "federation_certificates" already exists (SQLSTATE 42P07)'
        )
        const left = yield* SqlClient.use(
          (sql) => sql`SELECT to_regclass('federation_grants')::text AS grants`
        ).pipe(Effect.provide(plain))
        assert.deepStrictEqual(left, [{ grants: null }])
      })
    )

    test.effect("says that the login is refused, without the password", () =>
      Effect.gen(function* () {
        const { connection } = yield* EmbeddedPostgres
        const url = `postgresql://mosaic:hunter2@/postgres?host=${dirname(connection.path)}`
        assert.deepStrictEqual(yield* refusal({ DATABASE_URL: url }), {
          code: "STORAGE_UNAVAILABLE",
          message: 'migrate the schema: password authentication failed for user "mosaic" (SQLSTATE 28P01)',
          remediation: `see which database is used and where that is set (mosaic config show), and try it: psql "$DATABASE_URL" -c 'select 1'`
        })
        const { url: known } = yield* fresh
        const { code, message } = yield* refusal({ DATABASE_URL: known.replace(/test_\w+/, "absent") })
        assert.strictEqual(code, "STORAGE_UNAVAILABLE")
        assert.include(message, 'database "absent" does not exist')
      })
    )
  })

  it.live("says that nothing listens", () =>
    Effect.gen(function* () {
      const { code, message } = yield* refusal({ DATABASE_URL: "postgresql://mosaic:hunter2@127.0.0.1:1/x" })
      assert.strictEqual(code, "STORAGE_UNAVAILABLE")
      assert.strictEqual(message, "migrate the schema: connect ECONNREFUSED 127.0.0.1:1")
    })
  )

  it.live("gives up a host that never answers", () =>
    Effect.gen(function* () {
      const silent = createServer(() => undefined)
      silent.listen(0, "127.0.0.1")
      yield* Effect.promise(() => once(silent, "listening"))
      const { port } = silent.address() as AddressInfo
      const { code, message } = yield* refusal({
        DATABASE_URL: `postgresql://mosaic:hunter2@127.0.0.1:${port}/x?connect_timeout=1`
      })
      silent.close()
      assert.strictEqual(code, "STORAGE_UNAVAILABLE")
      assert.strictEqual(message, "migrate the schema: Connection timed out")
    })
  )

  for (const [url, problem] of [
    ["hunter2", "it is not a URL"],
    ["mysql://u:hunter2@h/d", "the scheme is mysql, not postgresql"],
    [
      "postgresql://u:hunter2%zz@h/d",
      "a percent sign is not followed by two hexadecimal digits; write a literal one as %25"
    ],
    [
      "postgresql://u:hunter2@h/d?sslmode=on",
      "sslmode is none of disable, allow, prefer, require, verify-ca, verify-full"
    ],
    ["postgresql://u:hunter2@h/d?port=x", "the parameter port is not a port number"],
    ["postgresql://u:hunter2@h/d?connect_timeout=soon", "connect_timeout is not a number of seconds"],
    ["postgresql://u:hunter2@h/d?sslcert=/dev/null", "sslcert and sslkey go together"],
    [
      "postgresql://u:hunter2@h/d?sslrootcert=/dev/null",
      "DATABASE_URL names /dev/null, which cannot be read: not a regular file"
    ]
  ] as const) {
    it.live(`refuses at the start: ${problem}`, () =>
      Effect.gen(function* () {
        const { code, message, remediation } = yield* refusal({ DATABASE_URL: url })
        if (code === "CONFIG_FILE_UNREADABLE") return assert.strictEqual(message, problem)
        assert.deepStrictEqual(
          [code, message, remediation],
          ["CONFIG_INVALID", `DATABASE_URL: ${problem}`, urlForm]
        )
      })
    )
  }

  it.live("is told once where it is", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* refusal({ DATABASE_URL: "postgresql://h/d", DATABASE_URL_FILE: "/x" }), {
        code: "CONFIG_CONFLICT",
        message: "DATABASE_URL and DATABASE_URL_FILE are both set",
        remediation: "unset one of the two: unset DATABASE_URL, or unset DATABASE_URL_FILE"
      })
    })
  )
})
