import * as Command from "effect/cli/Command"
import { rotate } from "./provisioner/rotate.ts"

export const provisioner = Command.make("provisioner").pipe(
  Command.withDescription("The key by which the CA takes this gateway's word for what it signs"),
  Command.withSubcommands([rotate])
)
