/**
 * The schema is this version's, and whole. As by every command, an empty database is given it, and in the local tier one
 * that is behind is brought up to date; a shared one that is behind is left as it is (docs/decisions/0006).
 */
import { StorageSchemaNewer, StorageSchemaOlder } from "@mosaic-federation/domain/StorageErrors"
import { missingTables, schemaTables } from "@mosaic-federation/issuance/DatabaseReport"
import { latestMigration, migrate, schemaStatus } from "@mosaic-federation/issuance/Migrations"
import { Effect } from "effect"
import { type Check, failed, failedBy, remedy } from "../Check.ts"
import { Subject } from "../Subject.ts"

const statusCommand = "mosaic db status"

const migrateCommand = "mosaic db migrate"

const look = Effect.gen(function* () {
  const { applied, pending } = yield* schemaStatus()
  return { found: applied.at(-1)?.id ?? 0, pending, missing: yield* missingTables }
})

export const schema: Check = {
  id: "schema",
  name: "schema version",
  needs: ["postgres"],
  isOwnWork: ({ settings }) => settings.database === null,
  ifSilent: () => remedy("see who holds the tables: a migration may be running", statusCommand),
  run: () =>
    Effect.gen(function* () {
      const { database, settings } = yield* Subject
      const inDatabase = Effect.gen(function* () {
        const before = yield* look
        const isEmpty = before.found === 0 && before.missing.length === schemaTables.length
        if (!isEmpty && (settings.tier === "federated" || before.pending.length === 0)) return before
        yield* migrate()
        return yield* look
      })
      const { found, missing, pending } = yield* Effect.flatMap(database, (services) =>
        Effect.provide(inDatabase, services)
      ).pipe(Effect.mapError((error) => failedBy(error, statusCommand)))
      const counts = { found, known: latestMigration }
      const evidence = { ...counts, pending: pending.length, missingTables: missing.join(", ") }
      if (found > latestMigration) {
        const { code, message } = new StorageSchemaNewer(counts)
        return yield* failed({
          code,
          problem: message,
          remedy: remedy(
            "install the version of mosaic that migrated it, or name another database; to see which migrations it has",
            statusCommand
          ),
          evidence
        })
      }
      if (pending.length > 0) {
        const { code, message } = new StorageSchemaOlder(counts)
        return yield* failed({
          code,
          problem: message,
          remedy: remedy("apply what is pending", migrateCommand),
          evidence
        })
      }
      if (missing.length > 0) {
        return yield* failed({
          code: "SCHEMA_TABLE_MISSING",
          problem: `the schema is at migration ${found}, but tables are gone: ${missing.join(", ")}`,
          remedy: remedy(
            "bring the database back from its last backup (docs/federation/SETUP.md)",
            `pg_restore --clean --if-exists --exit-on-error --dbname="$DATABASE_URL" mosaic.dump`
          ),
          evidence
        })
      }
      return { detail: String(found), evidence }
    })
}
