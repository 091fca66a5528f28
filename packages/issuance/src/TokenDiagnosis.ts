/**
 * Finds out why step-ca answered 401, which it words alike for every cause. It looks at what the CA shows without
 * authentication (its provisioners, its clock, the names and the age of its own TLS certificate) and proves a cause or
 * says which ones it could rule out. It is asked only after a 401, so it may take its time.
 */
import { isIP } from "node:net"
import { connect } from "node:tls"
import {
  CaAudienceMismatch,
  CaClockSkew,
  CaKeyMismatch,
  CaKeyUnknown,
  CaProvisionerUnknown,
  CaTokenBeforeStart,
  CaTokenRefused,
  CaTokenReused
} from "@mosaic-federation/domain/CaErrors"
import { Array, Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import { compactVerify, importJWK, type JWK } from "jose"
import { requestIdOf } from "./CaAnswer.ts"
import { IssuanceConfig } from "./IssuanceConfig.ts"
import { PinnedHttpClient, type PinnedResponse } from "./PinnedHttpClient.ts"
import { listProvisioners, type Provisioner } from "./Provisioners.ts"
import type { OneTimeToken } from "./TokenSigner.ts"

export interface RefusedToken {
  readonly token: OneTimeToken
  readonly response: PinnedResponse
  /** True where this process presented the same `jti` before. */
  readonly reused: boolean
}

export type TokenRefusal =
  | CaAudienceMismatch
  | CaClockSkew
  | CaKeyMismatch
  | CaKeyUnknown
  | CaProvisionerUnknown
  | CaTokenBeforeStart
  | CaTokenRefused
  | CaTokenReused

/** What step-ca allows between a token's times and its own clock. */
export const leewaySeconds = 60

/** An HTTP Date (RFC 9110 §5.6.7) has steps of one second. */
export const dateStepSeconds = 1

/** step-ca makes its own TLS certificate when it starts, and sets its notBefore this much earlier. */
const backdateSeconds = 60

interface ServerIdentity {
  readonly names: ReadonlyArray<string>
  /** An address in the URL has many spellings: whether the certificate is for it, and not whether it is spelt alike. */
  readonly namesHost: boolean
  /** Seconds since the epoch. */
  readonly notBefore: number
}

/** The CA's own TLS certificate, over a connection as pinned as every other. */
const serverIdentity = (caUrl: URL, roots: ReadonlyArray<string>) =>
  Effect.callback<Option.Option<ServerIdentity>>((resume) => {
    const host = caUrl.hostname.replace(/^\[(.*)\]$/, "$1")
    const socket = connect({
      host,
      port: Number(caUrl.port === "" ? 443 : caUrl.port),
      // RFC 6066 §3: literal addresses are not permitted in server_name.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ca: [...roots],
      minVersion: "TLSv1.2",
      rejectUnauthorized: true
    })
    const end = (identity: Option.Option<ServerIdentity>) => {
      socket.destroy()
      resume(Effect.succeed(identity))
    }
    socket.once("error", () => end(Option.none()))
    socket.once("secureConnect", () =>
      end(
        Option.map(Option.fromNullishOr(socket.getPeerX509Certificate()), (certificate) => {
          const names = (certificate.subjectAltName ?? "")
            .split(", ")
            .map((entry) => entry.replace(/^(?:DNS|IP Address):/, "").toLowerCase())
          return {
            names,
            namesHost: isIP(host) === 0 ? names.includes(host) : certificate.checkIP(host) !== undefined,
            notBefore: Math.floor(certificate.validFromDate.getTime() / 1000)
          }
        })
      )
    )
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeoutOption("3 seconds"), Effect.map(Option.flatten))

const kidOf = (provisioner: Provisioner) => provisioner.key?.kid ?? "none"

const quoted = (names: ReadonlyArray<string>) =>
  names.length === 0 ? "none" : [...new Set(names)].join(", ")

export class TokenDiagnosis extends Context.Service<
  TokenDiagnosis,
  {
    /** Always fails: with the proved cause, or with `CaTokenRefused`. */
    readonly explain: (refused: RefusedToken) => Effect.Effect<never, TokenRefusal>
  }
>()("@mosaic-federation/issuance/TokenDiagnosis") {
  static readonly layerNoDeps = Layer.effect(
    TokenDiagnosis,
    Effect.gen(function* () {
      const { caUrl, roots } = yield* IssuanceConfig
      const http = yield* PinnedHttpClient
      const rootsPem = roots.map((root) => root.pem)

      const provisioners = Effect.option(
        Effect.map(
          listProvisioners(http, caUrl),
          Array.filter(({ type }) => type === "JWK")
        )
      )

      const verifies = (token: OneTimeToken, key: JWK) =>
        Effect.promise(() =>
          compactVerify(Redacted.value(token.value), (header) => importJWK(key, header.alg)).then(
            () => true,
            () => false
          )
        )

      const aboutKey = Effect.fnUntraced(function* (
        token: OneTimeToken,
        requestId: string,
        listed: ReadonlyArray<Provisioner>
      ) {
        const provisioner = token.issuer
        const named = listed.filter(({ name }) => name === provisioner)
        if (named.length === 0) {
          return yield* new CaProvisionerUnknown({
            requestId,
            provisioner,
            known: quoted(listed.map(({ name }) => name))
          })
        }
        const sameKid = named.find((candidate) => kidOf(candidate) === token.kid)
        if (sameKid === undefined) {
          return yield* new CaKeyUnknown({
            requestId,
            provisioner,
            kid: token.kid,
            known: quoted(named.map(kidOf))
          })
        }
        if (!(yield* verifies(token, { ...sameKid.key }))) {
          return yield* new CaKeyMismatch({ requestId, provisioner, kid: token.kid })
        }
      })

      const aboutServer = Effect.fnUntraced(function* (
        token: OneTimeToken,
        response: PinnedResponse,
        identity: ServerIdentity,
        skew: number
      ) {
        const requestId = requestIdOf(response)
        if (!identity.namesHost) {
          return yield* new CaAudienceMismatch({
            requestId,
            audience: token.audience,
            served: quoted(identity.names)
          })
        }
        if (token.issuedAt < identity.notBefore + backdateSeconds) {
          return yield* new CaTokenBeforeStart({ requestId, behindSeconds: Math.max(0, -skew) })
        }
      })

      return TokenDiagnosis.of({
        explain: Effect.fn("TokenDiagnosis.explain")(function* ({ response, reused, token }: RefusedToken) {
          const requestId = requestIdOf(response)
          if (reused) return yield* new CaTokenReused({ requestId })
          const date = Date.parse(response.headers["date"] ?? "")
          const now = DateTime.toEpochMillis(yield* DateTime.now)
          const skew = Number.isNaN(date) ? 0 : Math.round((now - date) / 1000)
          if (Math.abs(skew) > leewaySeconds + dateStepSeconds) {
            return yield* new CaClockSkew({ requestId, skewSeconds: skew, leewaySeconds })
          }
          const listed = yield* provisioners
          if (Option.isSome(listed)) yield* aboutKey(token, requestId, listed.value)
          const identity = yield* serverIdentity(caUrl, rootsPem)
          if (Option.isSome(identity)) yield* aboutServer(token, response, identity.value, skew)
          const examined = [
            "this token is new to the CA as far as this process knows",
            Number.isNaN(date)
              ? "the CA sent no Date to compare clocks with"
              : `the clocks differ by ${skew} s`,
            Option.isSome(listed)
              ? "provisioner and key are the CA's own"
              : "GET /provisioners did not answer",
            Option.isSome(identity)
              ? "the audience names the CA, which started before the token"
              : "the CA's TLS certificate could not be read"
          ]
          return yield* new CaTokenRefused({ requestId, examined: examined.join("; ") })
        })
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide(PinnedHttpClient.layer),
    Layer.provide(IssuanceConfig.layer)
  )
}
