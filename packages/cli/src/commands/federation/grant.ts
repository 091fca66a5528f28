import * as Command from "effect/cli/Command"
import { create } from "./grant/create.ts"
import { list } from "./grant/list.ts"
import { revoke } from "./grant/revoke.ts"
import { show } from "./grant/show.ts"

export const grant = Command.make("grant").pipe(
  Command.withDescription("Create, list, show and revoke grants"),
  Command.withSubcommands([create, list, show, revoke])
)
