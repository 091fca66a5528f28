/** Enrollment over HTTP: operators make tokens, a peer turns one into its first certificate. */
import { createHash } from "node:crypto"
import { PresentedToken } from "@mosaic-federation/domain/api/EnrollmentAuth"
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { CurrentOperator } from "@mosaic-federation/domain/api/OperatorAuth"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { Effect, Layer, Redacted } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { issuedDocument } from "../operator/certificateDocuments.ts"
import { makeTokensHere } from "../operator/tokensHere.ts"
import { Enrollment } from "../peer/Enrollment.ts"
import { RateLimits } from "../RateLimits.ts"
import { countIssuance } from "./Metrics.ts"
import { PublicUrl } from "./PublicUrl.ts"
import { CurrentRecord } from "./RequestRecord.ts"
import { ServerConfig } from "./ServerConfig.ts"

const tokens = HttpApiBuilder.group(
  GatewayApi,
  "enrollmentTokens",
  Effect.fn(function* (handlers) {
    const { roots } = yield* IssuanceConfig
    const tokens = yield* makeTokensHere(Effect.succeed({ url: yield* PublicUrl, roots }))

    return handlers.handleAll({
      create: Effect.fnUntraced(function* ({ params, payload }) {
        const { requester } = yield* CurrentOperator
        return yield* tokens.create(params.id, payload, requester)
      }),

      list: ({ params, query }) => tokens.list(params.id, query.limit),

      revoke: ({ params }) => tokens.revoke(params.tokenId)
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
