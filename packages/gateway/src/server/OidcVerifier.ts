/**
 * Operators' tokens of one configured OIDC issuer: signed by a key that the issuer publishes (OpenID Connect Discovery
 * 1.0), for this gateway, and not over. A claim says which scope the operator has; which endpoint takes which is left to
 * `OperatorAuth`.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { OperatorScope } from "@mosaic-federation/domain/api/Access"
import { ConfigInvalid, type ConfigMissing } from "@mosaic-federation/domain/ConfigurationErrors"
import { OperatorIssuerUnavailable, OperatorTokenRefused } from "@mosaic-federation/domain/ServerErrors"
import { optionalSetting, requiredSetting, type SettingError } from "@mosaic-federation/issuance/Setting"
import { Context, Effect, type FileSystem, Layer, Option, Redacted, Schema } from "effect"
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from "jose"
import { isLoopback } from "./ServerConfig.ts"

export interface OidcSettings {
  readonly issuer: string
  readonly audience: string
  readonly algorithms: ReadonlyArray<string>
  /** The claim that has the operator's scope, as a string of words or an array. */
  readonly claim: string
  /** Which of its values give which scope. */
  readonly values: Readonly<Record<OperatorScope, ReadonlyArray<string>>>
}

export interface OidcOperator {
  readonly subject: string
  /** Null where no value of the claim gives one. */
  readonly scope: OperatorScope | null
}

/** RFC 8725 §3.1 and §3.2: signatures alone, so that no public key is ever taken for a shared secret. */
const signatures = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

const standardAlgorithms = "RS256,PS256,ES256,ES384,EdDSA"

/** In seconds: how far the issuer's clock may be from ours. */
const clockTolerance = 30

const patience = 5000

const words = (text: string) =>
  text
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "")

const readIssuer = Effect.gen(function* () {
  const variable = "MOSAIC_OIDC_ISSUER"
  const text = yield* optionalSetting(variable)
  if (Option.isNone(text)) return Option.none<string>()
  const url = URL.parse(text.value)
  const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url.hostname))
  if (url === null || !isSafe || url.search !== "" || url.hash !== "") {
    return yield* new ConfigInvalid({
      variable,
      problem: "it is not an https URL without query and fragment",
      expects: "the issuer, as its tokens name it in iss, such as https://id.example"
    })
  }
  return Option.some(text.value)
})

const readAlgorithms = Effect.gen(function* () {
  const variable = "MOSAIC_OIDC_ALGORITHMS"
  const algorithms = words(Option.getOrElse(yield* optionalSetting(variable), () => standardAlgorithms))
  const wrong = algorithms.find((algorithm) => !signatures.includes(algorithm))
  if (algorithms.length > 0 && wrong === undefined) return algorithms
  return yield* new ConfigInvalid({
    variable,
    problem: `${JSON.stringify(wrong ?? "")} is not the name of a public key signature`,
    expects: `a comma list of ${signatures.join(", ")}`
  })
})

const readValues = Effect.fnUntraced(function* (scope: OperatorScope) {
  return words(Option.getOrElse(yield* optionalSetting(`MOSAIC_OIDC_${scope.toUpperCase()}`), () => scope))
})

const readSettings = Effect.gen(function* (): Effect.fn.Return<
  Option.Option<OidcSettings>,
  SettingError | ConfigMissing,
  FileSystem.FileSystem
> {
  const issuer = yield* readIssuer
  if (Option.isNone(issuer)) return Option.none()
  return Option.some({
    issuer: issuer.value,
    audience: yield* requiredSetting(
      "MOSAIC_OIDC_AUDIENCE",
      "what the issuer's tokens for this gateway have in aud"
    ),
    algorithms: yield* readAlgorithms,
    claim: Option.getOrElse(yield* optionalSetting("MOSAIC_OIDC_CLAIM"), () => "mosaic_scope"),
    values: {
      read: yield* readValues("read"),
      issue: yield* readValues("issue"),
      admin: yield* readValues("admin")
    }
  })
})

const Discovery = Schema.Struct({ issuer: Schema.String, jwks_uri: Schema.String })
const decodeDiscovery = Schema.decodeUnknownOption(Discovery)

/** A token has three parts; which kind of secret something else is, nobody shall learn from the answer. */
export const looksLikeJwt = (credential: Redacted.Redacted): boolean =>
  /^[\w-]+\.[\w-]+\.[\w-]+$/.test(Redacted.value(credential))

/** RFC 7519 §4.1: named as the standards name them, with what was expected, and never with the token. */
const refusalOf = (error: unknown, settings: OidcSettings): string => {
  if (error instanceof errors.JWTExpired) return "exp: the token has expired"
  if (error instanceof errors.JWTClaimValidationFailed) {
    const expected: Readonly<Record<string, string>> = {
      iss: `expected ${settings.issuer}`,
      aud: `expected ${settings.audience}`,
      exp: "it is missing or not a number",
      nbf: "the token is not valid yet"
    }
    return `${error.claim}: ${expected[error.claim] ?? "it is not what it must be"}`
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return `alg: only ${settings.algorithms.join(", ")} are accepted`
  }
  if (error instanceof errors.JWKSNoMatchingKey) return "kid: the issuer publishes no such key"
  if (error instanceof errors.JWSSignatureVerificationFailed) return "the signature is not the issuer's"
  return "it is no signed JWT (RFC 7519)"
}

const valuesOf = (claim: unknown): ReadonlyArray<string> => {
  if (typeof claim === "string") return claim.split(" ")
  return Array.isArray(claim) ? claim.filter((one): one is string => typeof one === "string") : []
}

const scopeOf = (payload: JWTPayload, { claim, values }: OidcSettings): OperatorScope | null => {
  const held = new Set(valuesOf(payload[claim]))
  const scopes = OperatorScope.literals.filter((scope) => values[scope].some((value) => held.has(value)))
  return scopes.at(-1) ?? null
}

/** OpenID Connect Core §2: at most 255 ASCII characters. */
const subjectForm = /^[\x20-\x7e]{1,255}$/

export class OidcVerifier extends Context.Service<
  OidcVerifier,
  {
    readonly verify: (
      token: Redacted.Redacted
    ) => Effect.Effect<OidcOperator, OperatorTokenRefused | OperatorIssuerUnavailable>
  }
>()("@mosaic-federation/gateway/OidcVerifier") {
  /** Without `MOSAIC_OIDC_ISSUER` every token is refused. */
  static readonly layer = Layer.effect(
    OidcVerifier,
    Effect.gen(function* () {
      const configured = yield* readSettings
      if (Option.isNone(configured)) {
        const problem = "this gateway takes no tokens of an issuer, only API keys"
        return OidcVerifier.of({ verify: () => Effect.fail(new OperatorTokenRefused({ problem })) })
      }
      const settings = configured.value
      const { algorithms, audience, issuer } = settings

      const unavailable = (problem: string) => new OperatorIssuerUnavailable({ issuer, problem })

      const discover = Effect.gen(function* () {
        const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`
        const body = yield* Effect.tryPromise({
          try: async (signal): Promise<unknown> => {
            const response = await fetch(url, { signal, redirect: "error" })
            return response.ok ? response.json() : undefined
          },
          catch: () => unavailable("it does not answer, or not with JSON")
        }).pipe(
          Effect.timeoutOrElse({
            duration: patience,
            orElse: () => Effect.fail(unavailable(`no answer within ${patience / 1000} s`))
          })
        )
        const found = decodeDiscovery(body)
        // OpenID Connect Discovery 1.0 §4.3.
        if (Option.isNone(found) || found.value.issuer !== issuer) {
          return yield* unavailable("its openid-configuration is absent or of another issuer")
        }
        return createRemoteJWKSet(new URL(found.value.jwks_uri), { timeoutDuration: patience })
      })

      let keys: JWTVerifyGetKey | undefined

      const verify = Effect.fn("OidcVerifier.verify")(function* (
        token: Redacted.Redacted
      ): Effect.fn.Return<OidcOperator, OperatorTokenRefused | OperatorIssuerUnavailable> {
        const keySet = (keys ??= yield* discover)
        const { payload } = yield* Effect.tryPromise({
          try: () =>
            jwtVerify(Redacted.value(token), keySet, {
              issuer,
              audience,
              algorithms: [...algorithms],
              requiredClaims: ["exp", "sub"],
              clockTolerance
            }),
          catch: (error) => {
            const isIssuers =
              error instanceof errors.JWKSTimeout ||
              error instanceof errors.JWKSInvalid ||
              !(error instanceof errors.JOSEError) ||
              error.code === "ERR_JOSE_GENERIC"
            return isIssuers
              ? unavailable("its keys cannot be fetched from jwks_uri")
              : new OperatorTokenRefused({ problem: refusalOf(error, settings) })
          }
        })
        const { sub: subject = "" } = payload
        if (!subjectForm.test(subject)) {
          return yield* new OperatorTokenRefused({ problem: "sub: it is not 1 to 255 ASCII characters" })
        }
        return { subject, scope: scopeOf(payload, settings) }
      })

      return OidcVerifier.of({ verify })
    })
  ).pipe(Layer.provide(NodeFileSystem.layer))
}
