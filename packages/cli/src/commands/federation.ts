import * as Command from "effect/cli/Command"
import { agent } from "./federation/agent.ts"
import { cert } from "./federation/cert.ts"
import { enroll } from "./federation/enroll.ts"
import { errors } from "./federation/errors.ts"
import { grant } from "./federation/grant.ts"
import { whoami } from "./federation/whoami.ts"

export const federation = Command.make("federation").pipe(
  Command.withDescription("Grants between gateways, and the certificates issued under them"),
  Command.withSubcommands([grant, cert, enroll, agent, whoami, errors])
)
