/** Asks the gateway, by mTLS with the certificate that a peer holds, whom it takes the peer for at this moment. */
import { randomUUID } from "node:crypto"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { Effect } from "effect"
import { GatewayClient } from "./GatewayClient.ts"
import type { WithKey } from "./RenewalAgent.ts"

export const whoami = Effect.fn("PeerQuestion.whoami")(function* ({ held, privateKeyPem }: WithKey) {
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const gateway = yield* GatewayClient.make({
        asker: "peer",
        url: held.url,
        rootsPem: held.roots.map(({ pem }) => pem),
        certificate: { fullChainPem: held.fullChainPem, privateKeyPem }
      })
      return yield* gateway.ask((api) => api.identity.whoami())
    })
  ).pipe(Effect.provideService(CurrentRequest, { requester: "peer", requestId: randomUUID() }))
})
