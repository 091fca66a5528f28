import * as Command from "effect/cli/Command"
import { cert } from "./federation/cert.ts"
import { errors } from "./federation/errors.ts"
import { grant } from "./federation/grant.ts"

export const federation = Command.make("federation").pipe(
  Command.withDescription("Grants between gateways, and the certificates issued under them"),
  Command.withSubcommands([grant, cert, errors])
)
