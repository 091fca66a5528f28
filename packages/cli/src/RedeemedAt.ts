/** What an enrollment token that is made without a gateway tells the peer: where that gateway is, and by which roots. */
import { ConfigMissing } from "@mosaic-federation/domain/ConfigurationErrors"
import { Effect, Option } from "effect"
import { parseGatewayUrl, readGatewayRoots, readGiven } from "./GatewayFlag.ts"

/** `--url`, else `MOSAIC_PUBLIC_URL`; read when a token is made. */
export const redeemedAt = Effect.fnUntraced(function* (url: Option.Option<string>) {
  const given = yield* readGiven("--url", url, ["MOSAIC_PUBLIC_URL"])
  const read = Effect.gen(function* () {
    if (Option.isNone(given)) {
      return yield* new ConfigMissing({
        variable: "MOSAIC_PUBLIC_URL",
        expects:
          "the URL by which peers reach the gateway, such as https://gateway.example:8443, or give --url"
      })
    }
    return { url: yield* parseGatewayUrl(given.value), roots: yield* readGatewayRoots }
  })
  return yield* Effect.map(Effect.context<Effect.Services<typeof read>>(), (context) =>
    Effect.provide(read, context)
  )
})
