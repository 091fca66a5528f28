import * as Command from "effect/cli/Command"
import { gatewayFlags } from "../GatewayFlag.ts"
import { exportAll } from "./audit/export.ts"
import { tail } from "./audit/tail.ts"
import { verify } from "./audit/verify.ts"

export const audit = Command.make("audit").pipe(
  Command.withDescription("Who decided what: look at the audit record, and prove that nobody has changed it"),
  Command.withSubcommands([verify, tail, exportAll]),
  Command.withGlobalFlags(gatewayFlags)
)
