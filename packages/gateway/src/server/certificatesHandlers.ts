/** Certificates over HTTP: issued for a CSR that an operator hands in, and looked up in the ledger. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { CertificateNotFound } from "@mosaic-federation/domain/CommandErrors"
import { createHash } from "node:crypto"
import { CurrentOperator } from "@mosaic-federation/domain/api/OperatorAuth"
import type { Grant } from "@mosaic-federation/domain/Grant"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { readCsr } from "@mosaic-federation/issuance/Csr"
import { CertificateLedger } from "@mosaic-federation/issuance/CertificateLedger"
import { checkStatus } from "@mosaic-federation/issuance/GrantPolicy"
import { type CertificateRecord, GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { IdempotencyRepo } from "@mosaic-federation/issuance/IdempotencyRepo"
import { Issuance } from "@mosaic-federation/issuance/Issuance"
import { DateTime, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { RateLimits } from "../RateLimits.ts"
import { TaskQueue } from "../TaskQueue.ts"
import { issuedDocument, recordDocument } from "./certificateDocuments.ts"
import { countIssuance } from "./Metrics.ts"
import { ServerConfig } from "./ServerConfig.ts"

const hashOf = (request: object) => createHash("sha256").update(JSON.stringify(request)).digest("hex")

const blocks = /-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n/g

/** Undefined where nobody should get it again. */
const certificateOf = (record: CertificateRecord, now: DateTime.Utc): IssuedCert | undefined => {
  const { fullChainPem, notAfter, notBefore, revokedAtCa, serial } = record
  const [certificate, ...chain] = fullChainPem?.match(blocks) ?? []
  return certificate === undefined ||
    notBefore === null ||
    revokedAtCa !== null ||
    DateTime.isGreaterThanOrEqualTo(now, notAfter)
    ? undefined
    : new IssuedCert({ certificate, chain, serial, notBefore, notAfter })
}

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

    /** What the same request brought before, as long as it is worth something. */
    const issuedBefore = Effect.fnUntraced(function* (grant: Grant, csrPem: string) {
      const now = yield* DateTime.now
      yield* Effect.fromResult(checkStatus(grant, now))
      const { sha256Hex } = yield* Effect.fromResult(readCsr(csrPem))
      const records = yield* grants.certificates({ grantId: grant.id })
      const record = records.find(({ csrSha256, state }) => csrSha256 === sha256Hex && state === "issued")
      return record === undefined ? undefined : certificateOf(record, now)
    })

    return handlers.handleAll({
      issue: Effect.fnUntraced(function* ({ headers, params, payload }) {
        yield* limits.count(perGrant, params.id)
        const grant = yield* grants.find(params.id)
        const key = headers["idempotency-key"]
        if (key !== undefined) {
          const { requester } = yield* CurrentOperator
          const requestSha256 = hashOf({ grantId: grant.id, ...payload })
          if (yield* idempotency.take({ requester, key, requestSha256 })) {
            const issued = yield* issuedBefore(grant, payload.csr)
            if (issued !== undefined) return issuedDocument(issued, grant)
          }
        }
        const request = new IssueCertRequest({
          grantId: grant.id,
          subjectUserId: grant.subjectUserId,
          csrPem: payload.csr,
          ...(payload.lifetime === undefined ? {} : { lifetime: payload.lifetime })
        })
        return issuedDocument(yield* countIssuance(issuance.issue(request)), grant)
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
