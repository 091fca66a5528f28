import * as Command from "effect/cli/Command"
import { exportCertificate } from "./cert/export.ts"
import { inspect } from "./cert/inspect.ts"
import { issue } from "./cert/issue.ts"
import { list } from "./cert/list.ts"
import { verify } from "./cert/verify.ts"

export const cert = Command.make("cert").pipe(
  Command.withDescription("Issue, inspect, verify, list and export grant certificates"),
  Command.withSubcommands([issue, inspect, verify, list, exportCertificate])
)
