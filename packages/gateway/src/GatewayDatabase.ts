/**
 * The database of the tier: the one that `GatewayConfig` names, else the embedded one. The local tier brings its schema
 * up to date at every start; the federated tier does so on demand (docs/decisions/0006).
 */
import * as Database from "@mosaic-federation/issuance/Database"
import { sourcedSetting } from "@mosaic-federation/issuance/Setting"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Layer, Option, Redacted } from "effect"
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

/** As its owner, of whatever schema or none: for what migrates it, prunes it, or looks at its schema. */
export const layerOwner = Layer.unwrap(
  Effect.gen(function* () {
    const settings = yield* GatewayConfig
    return Option.match(yield* sourcedSetting("MOSAIC_DATABASE_OWNER_URL"), {
      onNone: () => layerFor(settings, "leave"),
      onSome: ({ source, value }) => Database.layerUrl(Redacted.make(value), source, "leave")
    })
  })
).pipe(Layer.provide(NodeFileSystem.layer))
