/** Certificates over HTTP: issued for a CSR that an operator hands in, and looked up in the ledger. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { createHash } from "node:crypto"
import { CurrentOperator } from "@mosaic-federation/domain/api/OperatorAuth"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { readCsr } from "@mosaic-federation/issuance/Csr"
import { checkStatus } from "@mosaic-federation/issuance/GrantPolicy"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { IdempotencyRepo } from "@mosaic-federation/issuance/IdempotencyRepo"
import { type GrantedRequest, Issuance } from "@mosaic-federation/issuance/Issuance"
import { timedStep } from "@mosaic-federation/issuance/IssuanceMetrics"
import { DateTime, Duration, Effect, Option, Result } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { issuedDocument } from "../operator/certificateDocuments.ts"
import { makeCertificatesHere } from "../operator/certificatesHere.ts"
import { RateLimits } from "../RateLimits.ts"
import { GrantOfPath } from "./GrantOfPath.ts"
import { countIssuance } from "./Metrics.ts"
import { ServerConfig } from "./ServerConfig.ts"

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "certificates",
  Effect.fn(function* (handlers) {
    const { perGrant } = yield* ServerConfig
    const certificates = yield* makeCertificatesHere
    const grants = yield* GrantRepo
    const idempotency = yield* IdempotencyRepo
    const issuance = yield* Issuance
    const limits = yield* RateLimits
    const timedFind = timedStep("find_grant")

    /** With a key, what the same request brought before; it runs anew where that is worth nothing any more. */
    const once = Effect.fnUntraced(function* <E, R>(
      key: string,
      { csrPem, grant, lifetime }: GrantedRequest,
      issue: Effect.Effect<IssuedCert, E, R>
    ) {
      const { requester } = yield* CurrentOperator
      const csr = Result.getOrUndefined(readCsr(csrPem))
      if (csr === undefined) return yield* issue
      const asked = {
        grantId: grant.id,
        csr: csr.sha256Hex,
        lifetime: lifetime && Duration.toMillis(lifetime)
      }
      const requestSha256 = createHash("sha256").update(JSON.stringify(asked)).digest("hex")
      const request = { requester, key, requestSha256 }
      const before = yield* idempotency.take(request)
      const active = Result.isSuccess(checkStatus(grant, yield* DateTime.now))
      if (active && Option.isSome(before)) return before.value
      return yield* Effect.tap(issue, ({ serial }) => idempotency.answered(request, serial))
    })

    return handlers.handleAll({
      issue: Effect.fnUntraced(function* ({ headers, params, payload }) {
        yield* limits.count(perGrant, params.id)
        const grant = (yield* GrantOfPath) ?? (yield* timedFind(grants.find(params.id)))
        const { csr: csrPem, lifetime } = payload
        const request = { grant, csrPem, ...(lifetime === undefined ? {} : { lifetime }) }
        const issue = countIssuance(issuance.issueUnder(request))
        const key = headers["idempotency-key"]
        return issuedDocument(yield* key === undefined ? issue : once(key, request, issue), grant)
      }),

      list: ({ query }) => certificates.list(query),

      get: ({ params }) => certificates.show(params.serial),

      revoke: ({ params, payload }) => certificates.revoke(params.serial, payload.reason)
    })
  })
)
