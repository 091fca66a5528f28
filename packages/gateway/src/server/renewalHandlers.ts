/** A peer's next certificate and its identity, over HTTP. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { CurrentPeer } from "@mosaic-federation/domain/api/PeerAuth"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { RenewalProofInvalid } from "@mosaic-federation/domain/PeerErrors"
import { Effect, Layer, Option } from "effect"
import type { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { PeerIdentity } from "../peer/PeerIdentity.ts"
import { issuedDocument } from "../operator/certificateDocuments.ts"
import { Renewal } from "../peer/Renewal.ts"
import { RenewalProof, shownIn } from "../peer/RenewalProof.ts"
import { RateLimits } from "../RateLimits.ts"
import { countIssuance } from "./Metrics.ts"
import { PublicUrl } from "./PublicUrl.ts"
import { makeRenewalRefusals } from "./renewalRefusals.ts"
import { CurrentRecord } from "./RequestRecord.ts"
import { ServerConfig } from "./ServerConfig.ts"
import { shownCertificate } from "./shownCertificate.ts"

const renewal = HttpApiBuilder.group(
  GatewayApi,
  "renewal",
  Effect.fn(function* (handlers) {
    const { perGrant, trustedProxies } = yield* ServerConfig
    const limits = yield* RateLimits
    const peers = yield* PeerIdentity
    const proofs = yield* RenewalProof
    const publicUrl = yield* PublicUrl
    const renewals = yield* Renewal
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

    return handlers.handleAll({
      renew: Effect.fnUntraced(function* ({ headers, payload, request }) {
        const proof = headers["mosaic-renewal-proof"]
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
        yield* limits.count(perGrant, identity.grant.id)
        const issued = yield* countIssuance(renewals.renew(identity, payload.csr)).pipe(
          Effect.provideService(CurrentRequest, { requester, requestId: record.requestId })
        )
        return issuedDocument(issued, identity.grant)
      })
    })
  })
)

const identity = HttpApiBuilder.group(
  GatewayApi,
  "identity",
  Effect.fn(function* (handlers) {
    return handlers.handleAll({
      whoami: Effect.fnUntraced(function* () {
        const { certificate, grant } = yield* CurrentPeer
        return {
          grantId: grant.id,
          subjectUserId: grant.subjectUserId,
          peer: grant.peer,
          scopes: grant.scopes,
          grantExpiresAt: grant.expiresAt,
          certificate
        }
      })
    })
  })
)

export const layer = Layer.mergeAll(renewal, identity)
