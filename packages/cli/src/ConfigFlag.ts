/** `--config`, which every command takes, and the settings of the gateway that follow from it. */
import { Effect } from "effect"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { optional } from "./flags.ts"

export const ConfigPath = GlobalFlag.Setting("config")({
  flag: Flag.String("config").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription(
      "The configuration file; by default MOSAIC_CONFIG, else mosaic.config.json in this directory (docs/configuration.md)"
    ),
    optional
  )
})

/** Read once for a command: whoever needs them twice hands them on. */
export const gatewaySettings = Effect.gen(function* () {
  const { GatewayConfig } = yield* Effect.promise(() => import("@mosaic-federation/gateway/GatewayConfig"))
  return yield* Effect.provide(GatewayConfig, GatewayConfig.layer({ config: yield* ConfigPath }))
})
