import { StorageSchemaNewer, StorageSchemaOlder } from "@mosaic-federation/domain/StorageErrors"
import { DateTime, Effect } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { Answered } from "../../Answered.ts"
import { gatewaySettings } from "../../ConfigFlag.ts"
import { errorDocument } from "../../ErrorReport.ts"
import { hasDatabase } from "../../KnownHere.ts"
import { migrationName } from "../../migrationName.ts"
import { print } from "../../Output.ts"

import { useDatabase } from "../../Services.ts"
import { table } from "../../table.ts"

const flags = {
  check: Flag.Boolean("check").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Fail with exit code 7 where a migration is pending")
  )
}

export const status = Command.make(
  "status",
  flags,
  Effect.fn("db status")(function* ({ check }) {
    const { emptyStatus, latestMigration, schemaStatus } = yield* Effect.promise(
      () => import("@mosaic-federation/issuance/Migrations")
    )
    // Looking must not make a database where there is none.
    const settings = yield* gatewaySettings
    const { applied, pending } = (yield* hasDatabase(settings))
      ? yield* useDatabase(schemaStatus(), settings)
      : emptyStatus
    const found = applied.at(-1)?.id ?? 0
    const counts = { found, known: latestMigration }
    const error =
      found > latestMigration
        ? new StorageSchemaNewer(counts)
        : check && pending.length > 0
          ? new StorageSchemaOlder(counts)
          : undefined
    const rows = [
      ...applied.map((migration) => [
        migrationName(migration),
        migration.id > latestMigration ? "applied, unknown here" : "applied",
        DateTime.formatIso(migration.appliedAt)
      ]),
      ...pending.map((migration) => [migrationName(migration), "pending", "-"])
    ]
    yield* print({
      document: {
        schema: found,
        known: latestMigration,
        applied: applied.map(({ appliedAt, id, name }) => ({
          id,
          name,
          appliedAt: DateTime.formatIso(appliedAt)
        })),
        pending,
        ...(error === undefined ? {} : { error: errorDocument(error) })
      },
      lines: [
        ...table(["MIGRATION", "STATE", "SINCE"], rows),
        ...(pending.length > 0 ? ["", "Next: mosaic db migrate"] : []),
        ...(error === undefined ? [] : [""])
      ]
    })
    if (error !== undefined) return yield* new Answered({ error })
  })
).pipe(
  Command.withDescription("Show which migrations the database has, and which are pending; changes nothing"),
  Command.withExamples([
    { command: "mosaic db status", description: "Applied and pending, of the database that is used" },
    {
      command: "mosaic db status --check --json",
      description: "For a script: exit code 7 where a migration is pending or the schema is newer"
    }
  ])
)
