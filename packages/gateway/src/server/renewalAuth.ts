/** Knows a peer that renews by the key that it proves to hold, and has on record who was not taken for one. */
import { RenewalAuth } from "@mosaic-federation/domain/api/RenewalAuth"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { RenewalProofInvalid } from "@mosaic-federation/domain/PeerErrors"
import { Context, Effect, Layer, Option } from "effect"
import { HttpServerRequest } from "effect/http"
import { type Identity, PeerIdentity } from "../peer/PeerIdentity.ts"
import { RenewalProof, shownIn } from "../peer/RenewalProof.ts"
import { PublicUrl } from "./PublicUrl.ts"
import { makeRenewalRefusals } from "./renewalRefusals.ts"
import { CurrentRecord } from "./RequestRecord.ts"
import { ServerConfig } from "./ServerConfig.ts"
import { shownCertificate } from "./shownCertificate.ts"

/** Null where nobody has looked. */
export const RenewingPeer = Context.Reference<Identity | null>("@mosaic-federation/gateway/RenewingPeer", {
  defaultValue: () => null
})

export const layer = Layer.effect(
  RenewalAuth,
  Effect.gen(function* () {
    const { trustedProxies } = yield* ServerConfig
    const peers = yield* PeerIdentity
    const proofs = yield* RenewalProof
    const publicUrl = yield* PublicUrl
    const refusals = yield* makeRenewalRefusals
    const audience = new URL("/v1/renew", publicUrl).href

    const byProof = Effect.fnUntraced(function* (
      request: HttpServerRequest.HttpServerRequest,
      proof: string
    ) {
      if (Option.isNone(trustedProxies)) {
        const problem = "no proxy ends TLS before this gateway: show the certificate in the TLS handshake"
        return yield* new RenewalProofInvalid({ problem })
      }
      const body = yield* Effect.orDie(request.arrayBuffer)
      return yield* proofs.verify({ proof, body: new Uint8Array(body), audience })
    })

    const shownBy = Effect.fnUntraced(function* (
      request: HttpServerRequest.HttpServerRequest,
      proof: string | undefined
    ) {
      return proof === undefined ? yield* shownCertificate(request) : yield* byProof(request, proof)
    })

    return RenewalAuth.of((httpEffect) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const proof = request.headers["mosaic-renewal-proof"]
        const shown = yield* shownBy(request, proof).pipe(
          Effect.tapError((error) =>
            refusals.unproved(error, proof === undefined ? undefined : shownIn(proof))
          )
        )
        const identity = yield* peers
          .identify(shown)
          .pipe(Effect.tapError((error) => refusals.proved(error, shown)))
        const record = yield* CurrentRecord
        const requester = `certificate:${identity.record.serial}`
        record.requester = requester
        return yield* httpEffect.pipe(
          Effect.provideService(RenewingPeer, identity),
          Effect.provideService(CurrentRequest, { requester, requestId: record.requestId })
        )
      })
    )
  })
)
