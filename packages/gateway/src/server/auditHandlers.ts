/** The audit record over HTTP. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"

const notYet = () => Effect.die(new Error("not yet"))

export const layer = HttpApiBuilder.group(GatewayApi, "audit", (handlers) =>
  handlers.handleAll({ list: notYet, head: notYet })
)
