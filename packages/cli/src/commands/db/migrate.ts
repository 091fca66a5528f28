import { Effect } from "effect"
import * as Command from "effect/cli/Command"
import { migrationName } from "../../migrationName.ts"
import { print } from "../../Output.ts"

import { useDatabase } from "../../Services.ts"

export const migrate = Command.make(
  "migrate",
  {},
  Effect.fn("db migrate")(function* () {
    const { latestMigration, migrate } = yield* Effect.promise(
      () => import("@mosaic-federation/issuance/Migrations")
    )
    const applied = yield* useDatabase(migrate())
    yield* print({
      document: { schema: latestMigration, applied },
      lines: [
        ...applied.map((migration) => `applied ${migrationName(migration)}`),
        applied.length === 0
          ? `The schema is up to date, at migration ${latestMigration}: nothing was to be done`
          : `The schema is at migration ${latestMigration}`
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Bring the schema to this version, forward only. Any number may run at once: one migrates, the others wait and find nothing to do"
  ),
  Command.withExamples([
    { command: "mosaic db migrate", description: "The database that mosaic config show names" },
    { command: "mosaic db migrate --json", description: "What was applied, for a program" }
  ])
)
