/** Enrollment over HTTP: operators make tokens, a peer turns one into its first certificate. */
import { createHash } from "node:crypto"
import { PresentedToken } from "@mosaic-federation/domain/api/EnrollmentAuth"
import type { TokenDocument } from "@mosaic-federation/domain/api/EnrollmentApi"
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { CurrentOperator } from "@mosaic-federation/domain/api/OperatorAuth"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import type { EnrollmentToken } from "@mosaic-federation/domain/EnrollmentToken"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { DateTime, Effect, Layer, Redacted } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Enrollment } from "../peer/Enrollment.ts"
import { EnrollmentTokens } from "../peer/EnrollmentTokens.ts"
import { RateLimits } from "../RateLimits.ts"
import { issuedDocument } from "./certificateDocuments.ts"
import { countIssuance } from "./Metrics.ts"
import { PublicUrl } from "./PublicUrl.ts"
import { CurrentRecord } from "./RequestRecord.ts"
import { ServerConfig } from "./ServerConfig.ts"

export const tokenDocument = (token: EnrollmentToken, now: DateTime.Utc): TokenDocument => ({
  id: token.id,
  grantId: token.grantId,
  status: token.statusAt(now),
  keySha256: token.keySha256,
  createdAt: token.createdAt,
  createdBy: token.createdBy,
  expiresAt: token.expiresAt,
  revokedAt: token.revokedAt,
  use: token.use
})

const tokens = HttpApiBuilder.group(
  GatewayApi,
  "enrollmentTokens",
  Effect.fn(function* (handlers) {
    const { roots } = yield* IssuanceConfig
    const enrollmentTokens = yield* EnrollmentTokens
    const grants = yield* GrantRepo
    const publicUrl = yield* PublicUrl
    const rootHashes = roots.map(({ der }) => createHash("sha256").update(der).digest("hex"))

    return handlers.handleAll({
      create: Effect.fnUntraced(function* ({ params, payload }) {
        const { requester } = yield* CurrentOperator
        const { secret, token } = yield* enrollmentTokens.create({
          grantId: params.id,
          url: publicUrl.origin,
          roots: rootHashes,
          createdBy: requester,
          ...(payload.lifetime === undefined ? {} : { lifetime: payload.lifetime }),
          ...(payload.keySha256 === undefined ? {} : { keySha256: payload.keySha256 })
        })
        return { ...tokenDocument(token, yield* DateTime.now), token: Redacted.value(secret) }
      }),

      list: Effect.fnUntraced(function* ({ params, query }) {
        const { id: grantId } = yield* grants.find(params.id)
        const found = yield* enrollmentTokens.list({
          grantId,
          ...(query.limit === undefined ? {} : { limit: query.limit })
        })
        const now = yield* DateTime.now
        return { tokens: found.map((token) => tokenDocument(token, now)) }
      }),

      revoke: Effect.fnUntraced(function* ({ params }) {
        return tokenDocument(yield* enrollmentTokens.revoke(params.tokenId), yield* DateTime.now)
      })
    })
  })
)

const enroll = HttpApiBuilder.group(
  GatewayApi,
  "enrollment",
  Effect.fn(function* (handlers) {
    const { perGrant } = yield* ServerConfig
    const enrollment = yield* Enrollment
    const limits = yield* RateLimits

    return handlers.handleAll({
      enroll: Effect.fnUntraced(function* ({ payload }) {
        const token = yield* PresentedToken
        const record = yield* CurrentRecord
        // The token stands for its grant, and its hash for the token.
        const tokenSha256 = createHash("sha256").update(Redacted.value(token)).digest("hex")
        yield* limits.count(perGrant, `token:${tokenSha256}`)
        const { from, requestId } = record
        const requester = `enrollment-token:${tokenSha256.slice(0, 16)}`
        record.requester = requester
        const { grant, issued } = yield* countIssuance(
          enrollment.redeem({ token, csrPem: payload.csr, redeemer: { from, requestId } })
        ).pipe(Effect.provideService(CurrentRequest, { requester, requestId }))
        return issuedDocument(issued, grant)
      })
    })
  })
)

export const layer = Layer.mergeAll(tokens, enroll)
