import * as Command from "effect/cli/Command"
import { agent } from "./federation/agent.ts"
import { cert } from "./federation/cert.ts"
import { enroll } from "./federation/enroll.ts"
import { errors } from "./federation/errors.ts"
import { grant } from "./federation/grant.ts"
import { revoke } from "./federation/revoke.ts"
import { token } from "./federation/token.ts"
import { provisioner } from "./federation/provisioner.ts"
import { reconcile } from "./federation/reconcile.ts"
import { whoami } from "./federation/whoami.ts"

export const federation = Command.make("federation").pipe(
  Command.withDescription("Grants between gateways, and the certificates issued under them"),
  Command.withSubcommands([grant, token, cert, revoke, provisioner, enroll, agent, whoami, reconcile, errors])
)
