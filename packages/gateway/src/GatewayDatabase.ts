/**
 * The database of the tier: the one that `GatewayConfig` names, else the embedded one. The local tier brings its schema
 * up to date at every start; the federated tier does so on demand (docs/decisions/0006).
 */
import * as Database from "@mosaic-federation/issuance/Database"
import { Effect, Layer } from "effect"
import { GatewayConfig, type GatewaySettings } from "./GatewayConfig.ts"

const layerFor = ({ database }: GatewaySettings, upgrade: Database.Upgrade) =>
  database === null
    ? Database.layerEmbedded(upgrade)
    : Database.layerUrl(database.value, database.source, upgrade)

export const layer = Layer.unwrap(
  GatewayConfig.use((settings) =>
    Effect.succeed(layerFor(settings, settings.tier === "federated" ? "require" : "apply"))
  )
)

/** Of whatever schema, or none: for what looks at it or migrates it. */
export const layerAsItIs = Layer.unwrap(
  GatewayConfig.use((settings) => Effect.succeed(layerFor(settings, "leave")))
)
