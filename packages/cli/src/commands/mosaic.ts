import * as Command from "effect/cli/Command"
import { ConfigPath } from "../ConfigFlag.ts"
import { Json } from "../Output.ts"
import { audit } from "./audit.ts"
import { config } from "./config.ts"
import { db } from "./db.ts"
import { federation } from "./federation.ts"
import { gateway } from "./gateway.ts"

export const mosaic = Command.make("mosaic").pipe(
  Command.withDescription("Short-lived mTLS identities that one gateway grants another"),
  Command.withSubcommands([federation, gateway, audit, config, db]),
  Command.withGlobalFlags([Json, ConfigPath])
)
