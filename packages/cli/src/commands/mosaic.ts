import * as Command from "effect/cli/Command"
import { Json } from "../Output.ts"
import { federation } from "./federation.ts"

export const mosaic = Command.make("mosaic").pipe(
  Command.withDescription("Short-lived mTLS identities that one gateway grants another"),
  Command.withSubcommands([federation]),
  Command.withGlobalFlags([Json])
)
