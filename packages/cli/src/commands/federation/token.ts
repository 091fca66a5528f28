import * as Command from "effect/cli/Command"
import { gatewayFlags } from "../../GatewayFlag.ts"
import { create } from "./token/create.ts"
import { list } from "./token/list.ts"
import { revoke } from "./token/revoke.ts"

export const token = Command.make("token").pipe(
  Command.withDescription(
    "Create, list and revoke enrollment tokens: what a peer gets its first certificate for"
  ),
  Command.withSubcommands([create, list, revoke]),
  Command.withGlobalFlags(gatewayFlags)
)
