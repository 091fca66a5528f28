/** The root bundle, for peers that do not trust the gateway yet. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "roots",
  Effect.fn(function* (handlers) {
    const { roots } = yield* IssuanceConfig
    const bundle = roots.map(({ pem }) => `${pem.trimEnd()}\n`).join("")
    return handlers.handleAll({ roots: () => Effect.succeed(bundle) })
  })
)
