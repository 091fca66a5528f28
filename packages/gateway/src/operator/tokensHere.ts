/** What operators do with enrollment tokens, on the database itself. */
import type { TokenDocument } from "@mosaic-federation/domain/api/TokenDocument"
import type { EnrollmentToken } from "@mosaic-federation/domain/EnrollmentToken"
import type { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import type { Certificate } from "@mosaic-federation/x509/Certificate"
import { DateTime, Effect, Redacted } from "effect"
import { EnrollmentTokens } from "../peer/EnrollmentTokens.ts"
import type { NewToken } from "./TokenOperations.ts"

/** What a token tells the peer: where to go, and by which roots to know that place. */
export interface RedeemedAt {
  readonly url: URL
  readonly roots: ReadonlyArray<Certificate>
}

const tokenDocument = (token: EnrollmentToken, now: DateTime.Utc): TokenDocument => ({
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

export const makeTokensHere = Effect.fnUntraced(function* <E>(redeemedAt: Effect.Effect<RedeemedAt, E>) {
  const grants = yield* GrantRepo
  const tokens = yield* EnrollmentTokens

  return {
    create: Effect.fn("TokenOperations.create")(function* (
      grantId: GrantId,
      token: NewToken,
      createdBy: string
    ) {
      const { roots, url } = yield* redeemedAt
      const made = yield* tokens.create({
        ...token,
        grantId,
        url: url.origin,
        roots: roots.map(({ fingerprintSha256 }) => fingerprintSha256),
        createdBy
      })
      return { ...tokenDocument(made.token, yield* DateTime.now), token: Redacted.value(made.secret) }
    }),

    list: Effect.fn("TokenOperations.list")(function* (grant: GrantId, limit?: number) {
      const { id: grantId } = yield* grants.find(grant)
      const found = yield* tokens.list({ grantId, ...(limit === undefined ? {} : { limit }) })
      const now = yield* DateTime.now
      return { tokens: found.map((token) => tokenDocument(token, now)) }
    }),

    revoke: Effect.fn("TokenOperations.revoke")(function* (id: EnrollmentTokenId) {
      return tokenDocument(yield* tokens.revoke(id), yield* DateTime.now)
    })
  }
})
