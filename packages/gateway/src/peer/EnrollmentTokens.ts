/**
 * Makes, lists and takes back enrollment tokens: what an operator does with them. A token is shown once, by the call that
 * made it. Redeeming it is `Enrollment`.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto"
import type { EnrollmentTokenNotFound } from "@mosaic-federation/domain/EnrollmentErrors"
import { type EnrollmentToken, formatEnrollmentToken } from "@mosaic-federation/domain/EnrollmentToken"
import { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import type {
  GrantExpired,
  GrantNotFound,
  GrantRevoked,
  GrantSuspended
} from "@mosaic-federation/domain/GrantErrors"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { EnrollmentTokenRepo } from "@mosaic-federation/issuance/EnrollmentTokenRepo"
import { checkStatus } from "@mosaic-federation/issuance/GrantPolicy"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Context, DateTime, Duration, Effect, Layer, Redacted } from "effect"

export interface TokenRequest {
  readonly grantId: GrantId
  /** Where the peer redeems it: scheme, host and port. */
  readonly url: string
  /** SHA-256 of the DER of each root by which the gateway's TLS certificate is known, in lower-case hex. */
  readonly roots: ReadonlyArray<string>
  /** 10 minutes by default, at most a week. */
  readonly lifetime?: Duration.Duration
  /** SHA-256 of the one SubjectPublicKeyInfo that may be enrolled, in lower-case hex. */
  readonly keySha256?: string
  readonly createdBy: string
}

export interface MadeToken {
  readonly token: EnrollmentToken
  /** What the peer needs; nobody can read it again. */
  readonly secret: Redacted.Redacted
}

export const standardLifetime = Duration.minutes(10)
const longestLifetime = Duration.days(7)

/** What the database keeps of a token. A secret of 256 random bits needs no slow hash. */
export const tokenSha256 = (token: Redacted.Redacted): string =>
  createHash("sha256").update(Redacted.value(token)).digest("hex")

export class EnrollmentTokens extends Context.Service<
  EnrollmentTokens,
  {
    readonly create: (
      request: TokenRequest
    ) => Effect.Effect<
      MadeToken,
      RequestInvalid | GrantNotFound | GrantRevoked | GrantSuspended | GrantExpired | StorageError
    >
    /** The newest first; 100 by default. */
    readonly list: (filter: {
      readonly grantId?: GrantId
      readonly limit?: number
    }) => Effect.Effect<ReadonlyArray<EnrollmentToken>, StorageError>
    /** A token that is used up already stays used: its certificate is what there is to revoke. */
    readonly revoke: (
      id: EnrollmentTokenId
    ) => Effect.Effect<EnrollmentToken, EnrollmentTokenNotFound | StorageError>
  }
>()("@mosaic-federation/gateway/EnrollmentTokens") {
  static readonly layerNoDeps = Layer.effect(
    EnrollmentTokens,
    Effect.gen(function* () {
      const grants = yield* GrantRepo
      const tokens = yield* EnrollmentTokenRepo

      const create = Effect.fn("EnrollmentTokens.create")(function* ({
        createdBy,
        grantId,
        keySha256,
        lifetime = standardLifetime,
        roots,
        url
      }: TokenRequest) {
        if (Duration.isGreaterThan(lifetime, longestLifetime)) {
          return yield* new RequestInvalid({ problem: "an enrollment token lives 7 days (168h) at most" })
        }
        if (URL.parse(url)?.protocol !== "https:") {
          return yield* new RequestInvalid({ problem: `the gateway's URL is not an https URL: ${url}` })
        }
        const grant = yield* grants.find(grantId)
        const createdAt = yield* DateTime.now
        yield* Effect.fromResult(checkStatus(grant, createdAt))
        const secret = formatEnrollmentToken({
          url: new URL(url).origin,
          roots,
          secret: randomBytes(32).toString("base64url")
        })
        const token = yield* tokens.create({
          id: EnrollmentTokenId.make(randomUUID()),
          grantId,
          tokenSha256: tokenSha256(secret),
          keySha256: keySha256 ?? null,
          createdBy,
          createdAt,
          expiresAt: DateTime.addDuration(createdAt, lifetime)
        })
        return { token, secret } satisfies MadeToken
      })

      return EnrollmentTokens.of({ create, list: tokens.list, revoke: tokens.revoke })
    })
  )
}
