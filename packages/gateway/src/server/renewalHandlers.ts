/** A peer's next certificate and its identity, over HTTP. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { CurrentPeer } from "@mosaic-federation/domain/api/PeerAuth"
import { PeerCertificateMissing } from "@mosaic-federation/domain/PeerErrors"
import { Effect, Layer } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { issuedDocument } from "../operator/certificateDocuments.ts"
import { Renewal } from "../peer/Renewal.ts"
import { RateLimits } from "../RateLimits.ts"
import { countIssuance } from "./Metrics.ts"
import { RenewingPeer } from "./renewalAuth.ts"
import { ServerConfig } from "./ServerConfig.ts"

const renewal = HttpApiBuilder.group(
  GatewayApi,
  "renewal",
  Effect.fn(function* (handlers) {
    const { perGrant } = yield* ServerConfig
    const limits = yield* RateLimits
    const renewals = yield* Renewal

    return handlers.handleAll({
      renew: Effect.fnUntraced(function* ({ payload }) {
        const identity = yield* RenewingPeer
        if (identity === null) return yield* new PeerCertificateMissing()
        yield* limits.count(perGrant, identity.grant.id)
        const issued = yield* countIssuance(renewals.renew(identity, payload.csr))
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
