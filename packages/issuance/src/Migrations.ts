/**
 * Brings the schema to this version, forward only. A database that is up to date costs one query; processes that start
 * at once on a fresh one wait for each other and migrate it once. A database of a later version is refused.
 */
import {
  StorageFailed,
  StorageSchemaNewer,
  type StorageUnavailable
} from "@mosaic-federation/domain/StorageErrors"
import { Effect } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import { codeOf, storageError } from "./internal/storageError.ts"
import { grants } from "./migrations/0001_grants.ts"
import { certificates } from "./migrations/0002_certificates.ts"
import { tasks } from "./migrations/0003_tasks.ts"

/** Numbered without gaps; what was released is never edited. */
const migrations = {
  "0001_grants": grants,
  "0002_certificates": certificates,
  "0003_tasks": tasks
}

/** The newest migration that this version knows. */
export const latestMigration = Object.keys(migrations).length

const table = "federation_migrations"

/** "mosaic" in ASCII: the key of the advisory lock under which one process migrates. */
const lockKey = 0x6d6f_7361_6963

const operation = "migrate the schema"

const undefinedTable = "42P01"

const appliedMigration = Effect.gen(function* () {
  const sql = yield* SqlClient
  const [row] = yield* sql<{ latest: number }>`
    SELECT coalesce(max(migration_id), 0) AS latest FROM ${sql(table)}`
  return row?.latest ?? 0
}).pipe(
  Effect.catchIf(
    (error) => codeOf(error) === undefinedTable,
    () => Effect.succeed(0)
  )
)

const isUpToDate = Effect.fnUntraced(function* (found: number) {
  if (found > latestMigration) return yield* new StorageSchemaNewer({ found, known: latestMigration })
  return found === latestMigration
})

/** The migrator dies of a migration that fails; what the database said is the cause of the cause. */
const migrationFailure = (defect: unknown): StorageFailed | StorageUnavailable => {
  const cause = defect instanceof Migrator.MigrationError ? defect.cause : defect
  return cause instanceof SqlError
    ? storageError(operation)(cause)
    : new StorageFailed({ operation, reason: String(defect) })
}

export const migrate = Effect.fn("Migrations.migrate")(
  function* () {
    if (yield* isUpToDate(yield* appliedMigration)) return
    const sql = yield* SqlClient
    const run = Effect.gen(function* () {
      yield* sql`SELECT pg_advisory_xact_lock(${lockKey}::bigint)`
      const exists = yield* sql`SELECT 1 WHERE to_regclass(${table}) IS NOT NULL`
      // A query that fails would end the transaction, so the table is looked for first.
      if (exists.length > 0 && (yield* isUpToDate(yield* appliedMigration))) return
      yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
    })
    yield* sql.withTransaction(run)
  },
  Effect.catchDefect((defect) =>
    defect instanceof Migrator.MigrationError ? Effect.fail(migrationFailure(defect)) : Effect.die(defect)
  ),
  Effect.catchTags({
    SqlError: (error) => Effect.fail(storageError(operation)(error)),
    MigrationError: (error) => Effect.fail(migrationFailure(error))
  })
)
