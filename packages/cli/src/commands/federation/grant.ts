import * as Command from "effect/cli/Command"
import { gatewayFlags } from "../../GatewayFlag.ts"
import { change } from "./grant/change.ts"
import { create } from "./grant/create.ts"
import { explain } from "./grant/explain.ts"
import { list } from "./grant/list.ts"
import { resume } from "./grant/resume.ts"
import { revoke } from "./grant/revoke.ts"
import { show } from "./grant/show.ts"
import { suspend } from "./grant/suspend.ts"

export const grant = Command.make("grant").pipe(
  Command.withDescription("Create, list, show, explain, change, suspend, resume and revoke grants"),
  Command.withSubcommands([create, list, show, explain, change, suspend, resume, revoke]),
  Command.withGlobalFlags(gatewayFlags)
)
