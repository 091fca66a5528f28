/** What operators do with enrollment tokens: where the database is, or over the API of a gateway. */
import type {
  CreatedTokenDocument,
  TokenDocument,
  TokenPage
} from "@mosaic-federation/domain/api/TokenDocument"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import type { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { Context, type Duration, Effect, Layer } from "effect"
import { GatewayClient } from "../client/GatewayClient.ts"
import { makeTokensHere, type RedeemedAt } from "./tokensHere.ts"

export interface NewToken {
  /** 10 minutes by default, a week at most. */
  readonly lifetime?: Duration.Duration
  /** SHA-256 of the one SubjectPublicKeyInfo that may be enrolled, in lower-case hex. */
  readonly keySha256?: string
}

export class TokenOperations extends Context.Service<
  TokenOperations,
  {
    readonly create: (
      grant: GrantId,
      token: NewToken
    ) => Effect.Effect<typeof CreatedTokenDocument.Type, MosaicError>
    /** The newest first; 100 by default. */
    readonly list: (grant: GrantId, limit: number) => Effect.Effect<typeof TokenPage.Type, MosaicError>
    readonly revoke: (id: EnrollmentTokenId) => Effect.Effect<TokenDocument, MosaicError>
  }
>()("@mosaic-federation/gateway/TokenOperations") {
  /** `redeemedAt` is asked only for a new token. */
  static readonly layerHere = (redeemedAt: Effect.Effect<RedeemedAt, MosaicError>) =>
    Layer.effect(
      TokenOperations,
      Effect.gen(function* () {
        const here = yield* makeTokensHere(redeemedAt)
        return TokenOperations.of({
          ...here,
          create: (grant, token) =>
            Effect.flatMap(CurrentRequest, ({ requester }) => here.create(grant, token, requester))
        })
      })
    )

  static readonly layerOverApi = Layer.effect(
    TokenOperations,
    GatewayClient.use(({ ask }) =>
      Effect.succeed(
        TokenOperations.of({
          create: (id, token) =>
            ask((api) => api.enrollmentTokens.create({ params: { id }, payload: { ...token } })),
          list: (id, limit) => ask((api) => api.enrollmentTokens.list({ params: { id }, query: { limit } })),
          revoke: (tokenId) => ask((api) => api.enrollmentTokens.revoke({ params: { tokenId } }))
        })
      )
    )
  )
}
