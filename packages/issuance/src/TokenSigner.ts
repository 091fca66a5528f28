/**
 * Makes the one-time tokens (OTT) that authorise one signing or one revocation at step-ca. A token is spent when the CA
 * first sees its `jti`, even where that try fails: each is made for one try and is never kept or logged.
 */
import { randomBytes } from "node:crypto"
import { TokenSigningFailed } from "@mosaic-federation/domain/ConfigurationErrors"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { UserId } from "@mosaic-federation/domain/UserId"
import { Context, DateTime, Effect, Layer, Redacted } from "effect"
import { compactJws } from "./internal/compactJws.ts"
import { spanned } from "./internal/spanned.ts"
import { IssuanceConfig, type IssuanceSettings } from "./IssuanceConfig.ts"

/** What a signing token says beside its times: which certificate, for which grant, over which CSR. */
export interface SignClaims {
  readonly grantId: GrantId
  readonly subjectUserId: UserId
  readonly serial: SerialNumber
  /** Lower-case hex SHA-256 of the CSR's DER. */
  readonly csrSha256: string
}

/** step-ca burns a token by its jti before it checks the signature: a guessable one could be burnt by anyone. */
export const randomJti = (): string => randomBytes(32).toString("base64url")

export interface OneTimeToken {
  readonly value: Redacted.Redacted
  readonly kid: string
  readonly issuer: string
  readonly audience: string
  readonly jti: string
  /** `iat` and `nbf`, in whole seconds since the epoch (RFC 7519 §2, NumericDate). */
  readonly issuedAt: number
}

/** Seconds between `iat` and `exp`: longer than the program's longest wait for the CA, and no longer than needed. */
export const tokenLifetime = 300

/**
 * A token of these very claims, with what every token says beside: from whom it is, for where, and until when. `path`
 * begins with a slash.
 */
export const makeToken = Effect.fnUntraced(function* (
  { caUrl, provisioner, provisionerKey }: Pick<IssuanceSettings, "caUrl" | "provisioner" | "provisionerKey">,
  path: string,
  jti: string,
  claims: { readonly [claim: string]: unknown }
) {
  const { algorithm, kid, privateKey } = provisionerKey
  const issuedAt = Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1000)
  const audience = `${caUrl.origin}${path}`
  const value = yield* Effect.try({
    try: () =>
      compactJws(
        { alg: algorithm, kid, typ: "JWT" },
        {
          ...claims,
          iss: provisioner,
          aud: audience,
          jti,
          iat: issuedAt,
          nbf: issuedAt,
          exp: issuedAt + tokenLifetime
        },
        Redacted.value(privateKey)
      ),
    catch: () => new TokenSigningFailed({ algorithm })
  })
  return {
    value: Redacted.make(value, { label: "one-time token" }),
    kid,
    issuer: provisioner,
    audience,
    jti,
    issuedAt
  } satisfies OneTimeToken
})

export class TokenSigner extends Context.Service<
  TokenSigner,
  {
    /** `jti` is for this one token. */
    readonly forSigning: (claims: SignClaims, jti: string) => Effect.Effect<OneTimeToken, TokenSigningFailed>
    readonly forRevocation: (serial: SerialNumber) => Effect.Effect<OneTimeToken, TokenSigningFailed>
  }
>()("@mosaic-federation/issuance/TokenSigner") {
  static readonly layerNoDeps = Layer.effect(
    TokenSigner,
    Effect.gen(function* () {
      const settings = yield* IssuanceConfig
      const make = (path: string, jti: string, claims: { readonly [claim: string]: unknown }) =>
        makeToken(settings, path, jti, claims)

      return TokenSigner.of({
        forSigning: (claims, jti) =>
          make("/1.0/sign", jti, {
            sub: claims.grantId,
            sans: [`urn:uuid:${claims.grantId}`],
            mosaic_grant_id: claims.grantId,
            mosaic_subject_user_id: claims.subjectUserId,
            mosaic_serial: claims.serial,
            // Carried for whoever reads the CA's log; what step-ca enforces is cnf (compare RFC 7800 §3.1).
            step: { sha: claims.csrSha256 },
            cnf: { "x5rt#S256": Buffer.from(claims.csrSha256, "hex").toString("base64url") }
          }).pipe(spanned("TokenSigner.forSigning")),
        forRevocation: (serial) =>
          make("/1.0/revoke", randomJti(), { sub: serial }).pipe(spanned("TokenSigner.forRevocation"))
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(IssuanceConfig.layer))
}
