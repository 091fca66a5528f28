/** Certificates over HTTP: issued for a CSR that an operator hands in, and looked up in the ledger. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { CertificateNotFound } from "@mosaic-federation/domain/CommandErrors"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Issuance } from "@mosaic-federation/issuance/Issuance"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { RateLimits } from "../RateLimits.ts"
import { issuedDocument, recordDocument } from "./certificateDocuments.ts"
import { countIssuance } from "./Metrics.ts"
import { ServerConfig } from "./ServerConfig.ts"

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "certificates",
  Effect.fn(function* (handlers) {
    const { perGrant } = yield* ServerConfig
    const grants = yield* GrantRepo
    const issuance = yield* Issuance
    const limits = yield* RateLimits

    return handlers.handleAll({
      issue: Effect.fnUntraced(function* ({ params, payload }) {
        yield* limits.count(perGrant, params.id)
        const grant = yield* grants.find(params.id)
        const request = new IssueCertRequest({
          grantId: grant.id,
          subjectUserId: grant.subjectUserId,
          csrPem: payload.csr,
          ...(payload.lifetime === undefined ? {} : { lifetime: payload.lifetime })
        })
        return issuedDocument(yield* countIssuance(issuance.issue(request)), grant)
      }),

      list: Effect.fnUntraced(function* ({ query }) {
        const found = yield* grants.certificates({
          ...(query.grant === undefined ? {} : { grantId: query.grant }),
          ...(query.limit === undefined ? {} : { limit: query.limit })
        })
        return { certificates: found.map(recordDocument) }
      }),

      get: Effect.fnUntraced(function* ({ params }) {
        const [record] = yield* grants.certificates({ serial: params.serial, limit: 1 })
        if (record === undefined) return yield* new CertificateNotFound({ serial: params.serial })
        return { ...recordDocument(record), fullChain: record.fullChainPem }
      }),

      revoke: () => Effect.die(new Error("not yet"))
    })
  })
)
