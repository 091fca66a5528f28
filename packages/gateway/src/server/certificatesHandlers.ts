/** Certificates over HTTP: issued for a CSR that an operator hands in, and looked up in the ledger. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { CertificateNotFound } from "@mosaic-federation/domain/CommandErrors"
import { createHash } from "node:crypto"
import { CurrentOperator } from "@mosaic-federation/domain/api/OperatorAuth"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { readCsr } from "@mosaic-federation/issuance/Csr"
import { CertificateLedger } from "@mosaic-federation/issuance/CertificateLedger"
import { checkStatus } from "@mosaic-federation/issuance/GrantPolicy"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { IdempotencyRepo } from "@mosaic-federation/issuance/IdempotencyRepo"
import { type GrantedRequest, Issuance } from "@mosaic-federation/issuance/Issuance"
import { DateTime, Duration, Effect, Option, Result } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { RateLimits } from "../RateLimits.ts"
import { TaskQueue } from "../TaskQueue.ts"
import { issuedDocument, recordDocument } from "./certificateDocuments.ts"
import { countIssuance } from "./Metrics.ts"
import { ServerConfig } from "./ServerConfig.ts"

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "certificates",
  Effect.fn(function* (handlers) {
    const { perGrant } = yield* ServerConfig
    const grants = yield* GrantRepo
    const idempotency = yield* IdempotencyRepo
    const issuance = yield* Issuance
    const ledger = yield* CertificateLedger
    const limits = yield* RateLimits
    const tasks = yield* TaskQueue

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
        const grant = yield* grants.find(params.id)
        const { csr: csrPem, lifetime } = payload
        const request = { grant, csrPem, ...(lifetime === undefined ? {} : { lifetime }) }
        const issue = countIssuance(issuance.issueUnder(request))
        const key = headers["idempotency-key"]
        return issuedDocument(yield* key === undefined ? issue : once(key, request, issue), grant)
      }),

      list: Effect.fnUntraced(function* ({ query }) {
        const { expiring, grant, limit, peer, state, user } = query
        const found = yield* ledger.list({
          ...(grant === undefined ? {} : { grantId: grant }),
          ...(peer === undefined ? {} : { peer }),
          ...(user === undefined ? {} : { subjectUserId: user }),
          ...(state === undefined ? {} : { state }),
          ...(expiring === undefined ? {} : { expiring }),
          ...(limit === undefined ? {} : { limit })
        })
        return { certificates: found.map(recordDocument) }
      }),

      get: Effect.fnUntraced(function* ({ params }) {
        const [record] = yield* grants.certificates({ serial: params.serial, limit: 1 })
        if (record === undefined) return yield* new CertificateNotFound({ serial: params.serial })
        return { ...recordDocument(record), fullChain: record.fullChainPem }
      }),

      revoke: Effect.fnUntraced(function* ({ params, payload }) {
        const { serial } = params
        yield* tasks.tryNow(yield* ledger.revoke(serial, payload.reason))
        const [record] = yield* grants.certificates({ serial, limit: 1 })
        return record === undefined ? yield* new CertificateNotFound({ serial }) : recordDocument(record)
      })
    })
  })
)
