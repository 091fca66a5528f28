/**
 * Brings the schema to this version, forward only. A database that is up to date costs one query; processes that start
 * at once on a fresh one wait for each other and migrate it once. A database of a later version is refused.
 */
import {
  StorageFailed,
  StorageSchemaNewer,
  StorageSchemaOlder,
  type StorageUnavailable
} from "@mosaic-federation/domain/StorageErrors"
import { DateTime, Effect } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import { ensureAppRole } from "./AppRole.ts"
import { codeOf, storageError } from "./internal/storageError.ts"
import { grants } from "./migrations/0001_grants.ts"
import { certificates } from "./migrations/0002_certificates.ts"
import { tasks } from "./migrations/0003_tasks.ts"
import { peers } from "./migrations/0004_peers.ts"
import { apiKeys } from "./migrations/0005_api_keys.ts"
import { idempotency } from "./migrations/0006_idempotency.ts"
import { audit } from "./migrations/0007_audit.ts"
import { journal } from "./migrations/0008_journal.ts"
import { prune } from "./migrations/0009_prune.ts"
import { cheaperChecks } from "./migrations/0010_cheaper_checks.ts"

/** Numbered without gaps; what was released is never edited. */
const migrations = {
  "0001_grants": grants,
  "0002_certificates": certificates,
  "0003_tasks": tasks,
  "0004_peers": peers,
  "0005_api_keys": apiKeys,
  "0006_idempotency": idempotency,
  "0007_audit": audit,
  "0008_journal": journal,
  "0009_prune": prune,
  "0010_cheaper_checks": cheaperChecks
}

export interface Migration {
  readonly id: number
  readonly name: string
}

export interface AppliedMigration extends Migration {
  readonly appliedAt: DateTime.Utc
}

/** Every migration of this version, in order. */
const known: ReadonlyArray<Migration> = Object.keys(migrations).map((key) => {
  const [id = "", ...name] = key.split("_")
  return { id: Number(id), name: name.join("_") }
})

/** The newest migration that this version knows. */
export const latestMigration = known.length

const table = "federation_migrations"

/** "mosaic" in ASCII: the key of the advisory lock under which one process migrates. */
const lockKey = 0x6d6f_7361_6963

const operation = "migrate the schema"

const undefinedTable = "42P01"

const orWithoutTable = <A, R>(query: Effect.Effect<A, SqlError, R>, fallback: A) =>
  Effect.catchIf(
    query,
    (error) => codeOf(error) === undefinedTable,
    () => Effect.succeed(fallback)
  )

const appliedMigration = Effect.gen(function* () {
  const sql = yield* SqlClient
  const query = sql<{ latest: number }>`
    SELECT coalesce(max(migration_id), 0) AS latest FROM ${sql(table)}`
  const [row] = yield* orWithoutTable(query, [])
  return row?.latest ?? 0
})

const isUpToDate = Effect.fnUntraced(function* (found: number) {
  if (found > latestMigration) return yield* new StorageSchemaNewer({ found, known: latestMigration })
  return found === latestMigration
})

export interface SchemaStatus {
  /** What the database says was applied, those of a later version included. */
  readonly applied: ReadonlyArray<AppliedMigration>
  /** What `migrate` would apply. */
  readonly pending: ReadonlyArray<Migration>
}

/** Of a database without any schema, as of one that was never made. */
export const emptyStatus: SchemaStatus = { applied: [], pending: known }

/** Looks, and changes nothing; a database of a later version is no error here. */
export const schemaStatus = Effect.fn("Migrations.schemaStatus")(
  function* () {
    const sql = yield* SqlClient
    const query = sql<{ id: number; name: string; at: Date }>`
      SELECT migration_id AS id, name, created_at AS at FROM ${sql(table)} ORDER BY migration_id`
    const rows = yield* orWithoutTable(query, [])
    const latest = rows.at(-1)?.id ?? 0
    return {
      applied: rows.map(({ at, id, name }) => ({ id, name, appliedAt: DateTime.fromDateUnsafe(at) })),
      pending: known.filter(({ id }) => id > latest)
    } satisfies SchemaStatus
  },
  Effect.catchTag("SqlError", (error) => Effect.fail(storageError("read the schema's version")(error)))
)

/** The migrator dies of a migration that fails; what the database said is the cause of the cause. */
const migrationFailure = (defect: unknown): StorageFailed | StorageUnavailable => {
  const cause = defect instanceof Migrator.MigrationError ? defect.cause : defect
  return cause instanceof SqlError
    ? storageError(operation)(cause)
    : new StorageFailed({ operation, reason: String(defect) })
}

/** Answers with what it applied: nothing where the schema was up to date, or another process was faster. */
export const migrate = Effect.fn("Migrations.migrate")(
  function* () {
    const nothing: ReadonlyArray<Migration> = []
    if (yield* isUpToDate(yield* appliedMigration)) return nothing
    const sql = yield* SqlClient
    const run = Effect.gen(function* () {
      yield* sql`SELECT pg_advisory_xact_lock(${lockKey}::bigint)`
      const exists = yield* sql`SELECT 1 WHERE to_regclass(${table}) IS NOT NULL`
      // A query that fails would end the transaction, so the table is looked for first.
      if (exists.length > 0 && (yield* isUpToDate(yield* appliedMigration))) return nothing
      const applied = yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
      // In the same transaction: no table is without its rights at any moment.
      yield* ensureAppRole()
      return applied.map(([id, name]): Migration => ({ id, name }))
    })
    return yield* sql.withTransaction(run)
  },
  Effect.catchDefect((defect) =>
    defect instanceof Migrator.MigrationError ? Effect.fail(migrationFailure(defect)) : Effect.die(defect)
  ),
  Effect.catchTags({
    SqlError: (error) => Effect.fail(storageError(operation)(error)),
    MigrationError: (error) => Effect.fail(migrationFailure(error))
  })
)

/** `mosaic_app` may not: an empty database is its owner's to migrate. */
const mayCreate = Effect.gen(function* () {
  const sql = yield* SqlClient
  const rows = yield* sql`SELECT 1 WHERE has_schema_privilege(current_schema(), 'CREATE')`
  return rows.length > 0
})

/**
 * For replicas that share a database: an empty one is given its schema, one that is behind is left alone, because
 * replicas of the version before may be at work on it (docs/decisions/0006).
 */
export const requireMigrated = Effect.fn("Migrations.requireMigrated")(
  function* () {
    const found = yield* appliedMigration
    if (found === 0 && (yield* mayCreate)) return yield* Effect.asVoid(migrate())
    if (!(yield* isUpToDate(found))) {
      return yield* new StorageSchemaOlder({ found, known: latestMigration })
    }
  },
  Effect.catchTag("SqlError", (error) => Effect.fail(storageError("read the schema's version")(error)))
)
