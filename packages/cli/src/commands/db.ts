import * as Command from "effect/cli/Command"
import { migrate } from "./db/migrate.ts"
import { prune } from "./db/prune.ts"
import { status } from "./db/status.ts"

export const db = Command.make("db").pipe(
  Command.withDescription("Migrate the database, show how far it is, or delete what ended long ago"),
  Command.withSubcommands([migrate, status, prune])
)
