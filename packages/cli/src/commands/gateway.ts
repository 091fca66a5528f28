import * as Command from "effect/cli/Command"
import { doctor } from "./gateway/doctor.ts"
import { key } from "./gateway/key.ts"
import { serve } from "./gateway/serve.ts"

export const gateway = Command.make("gateway").pipe(
  Command.withDescription(
    "Run the gateway's server, prove that it works, and manage the keys of those who operate it"
  ),
  Command.withSubcommands([serve, doctor, key])
)
