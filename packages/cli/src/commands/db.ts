import * as Command from "effect/cli/Command"
import { migrate } from "./db/migrate.ts"
import { status } from "./db/status.ts"

export const db = Command.make("db").pipe(
  Command.withDescription("Migrate the database, or show how far it is"),
  Command.withSubcommands([migrate, status])
)
