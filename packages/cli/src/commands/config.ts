import * as Command from "effect/cli/Command"
import { schema } from "./config/schema.ts"
import { show } from "./config/show.ts"

export const config = Command.make("config").pipe(
  Command.withDescription("Show the settings that hold, and the form of their file"),
  Command.withSubcommands([show, schema])
)
