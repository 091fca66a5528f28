import * as Command from "effect/cli/Command"
import { gatewayFlags } from "../../GatewayFlag.ts"
import { exportCertificate } from "./cert/export.ts"
import { inspect } from "./cert/inspect.ts"
import { issue } from "./cert/issue.ts"
import { list } from "./cert/list.ts"
import { revoke } from "./cert/revoke.ts"
import { show } from "./cert/show.ts"
import { verify } from "./cert/verify.ts"

export const cert = Command.make("cert").pipe(
  Command.withDescription("Issue, inspect, verify, list, show, export and revoke grant certificates"),
  Command.withSubcommands([issue, inspect, verify, list, show, exportCertificate, revoke]),
  Command.withGlobalFlags(gatewayFlags)
)
