import * as Command from "effect/cli/Command"
import { create } from "./key/create.ts"
import { list } from "./key/list.ts"
import { revoke } from "./key/revoke.ts"
import { rotate } from "./key/rotate.ts"

export const key = Command.make("key").pipe(
  Command.withDescription("API keys: made, listed, rotated and revoked in the database of the gateway"),
  Command.withSubcommands([create, list, rotate, revoke])
)
