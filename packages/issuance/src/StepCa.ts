/**
 * Speaks to step-ca: signs one CSR, revokes one serial. Every answer that the CA can give has its own error; of a 401,
 * which step-ca words alike for every cause, the cause is proved by looking (`TokenDiagnosis`) or reported as unproved.
 * It tries again only where the CA cannot have signed; what to do where it may have is `Issuance`'s decision.
 */
import {
  CaBadRequest,
  CaChainMissing,
  CaError,
  CaForbidden,
  CaInternalError,
  CaNotFound,
  CaRateLimited,
  CaTemplateRefused,
  CaUnexpectedStatus
} from "@mosaic-federation/domain/CaErrors"
import { TokenSigningFailed } from "@mosaic-federation/domain/ConfigurationErrors"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { CaResponseShape, TransportError } from "@mosaic-federation/domain/TransportErrors"
import { Context, DateTime, Duration, Effect, Layer, Option, Redacted, Schedule, Schema } from "effect"
import { detailOf, requestIdOf, retryAfterOf } from "./CaAnswer.ts"
import { retryFailed } from "./internal/retryFailed.ts"
import { spanned } from "./internal/spanned.ts"
import { IssuanceConfig } from "./IssuanceConfig.ts"
import { timedCaRequest, timedStep } from "./IssuanceMetrics.ts"
import { nothingWasSent, PinnedHttpClient, type PinnedResponse } from "./PinnedHttpClient.ts"
import { TokenDiagnosis } from "./TokenDiagnosis.ts"
import { type OneTimeToken, type SignClaims, TokenSigner } from "./TokenSigner.ts"

export interface SignRequest {
  readonly claims: SignClaims
  /** Of the token of the first try; a further one has its number behind, so that all are known by the one on record. */
  readonly jti: string
  /** The CSR in PEM, the very bytes whose hash is in the claims. */
  readonly csrPem: string
  readonly notBefore: DateTime.Utc
  readonly notAfter: DateTime.Utc
}

/** What the CA returned, not yet compared with what was asked: PEM, leaf apart from the certificates above it. */
export interface SignedCertificate {
  readonly leafPem: string
  readonly chainPem: ReadonlyArray<string>
  readonly requestId: string
}

export const SignError = Schema.Union([...TransportError.members, ...CaError.members, TokenSigningFailed])

export type SignError = typeof SignError.Type

export const isSignError = Schema.is(SignError)

const isTransport = Schema.is(TransportError)

const Pem = Schema.String.check(Schema.isNonEmpty())

const SignAnswer = Schema.Struct({
  crt: Schema.optionalKey(Pem),
  ca: Schema.optionalKey(Schema.NullOr(Schema.String)),
  certChain: Schema.optionalKey(Schema.NullOr(Schema.Array(Pem)))
})

const decodeSignAnswer = Schema.decodeUnknownOption(SignAnswer)

/** Times three: with the first try at most 350 ms of waiting, far less than a person's or a proxy's patience. */
const backoff = Schedule.exponential(Duration.millis(50), 2).pipe(Schedule.jittered)
const retries = 3

/** A `Retry-After` beyond this is left to the caller, who knows what it can wait for. */
const longestRetryAfter = Duration.seconds(2)

/** Everything but 401, whose cause takes a look at the CA. */
const refusal = (response: PinnedResponse, url: string): Exclude<CaError, CaChainMissing> => {
  const requestId = requestIdOf(response)
  const { status } = response
  if (status === 400) {
    const detail = detailOf(response)
    return detail.includes("mosaic-template:")
      ? new CaTemplateRefused({ requestId, detail })
      : new CaBadRequest({ requestId, detail })
  }
  if (status === 403) return new CaForbidden({ requestId, detail: detailOf(response) })
  if (status === 404) return new CaNotFound({ requestId, url })
  if (status === 429) return new CaRateLimited({ requestId, retryAfterSeconds: retryAfterOf(response) })
  if (status >= 500) return new CaInternalError({ requestId, status })
  return new CaUnexpectedStatus({ requestId, status })
}

const isRepeatable = (error: SignError): boolean =>
  error._tag === "CaRateLimited"
    ? error.retryAfterSeconds === null || error.retryAfterSeconds <= Duration.toSeconds(longestRetryAfter)
    : isTransport(error) && error.retryable && nothingWasSent(error)

/** True where, after this error, a certificate of the asked serial may exist at the CA. */
export const mayHaveSigned = (error: SignError): boolean =>
  isTransport(error)
    ? !nothingWasSent(error)
    : error._tag === "CaInternalError" ||
      error._tag === "CaChainMissing" ||
      error._tag === "CaUnexpectedStatus"

export class StepCa extends Context.Service<
  StepCa,
  {
    readonly sign: (request: SignRequest) => Effect.Effect<SignedCertificate, SignError>
    /** Succeeds also where the serial is revoked already or was never signed: afterwards it is dead either way. */
    readonly revoke: (serial: SerialNumber, reason: string) => Effect.Effect<void, SignError>
  }
>()("@mosaic-federation/issuance/StepCa") {
  static readonly layerNoDeps = Layer.effect(
    StepCa,
    Effect.gen(function* () {
      const { caUrl } = yield* IssuanceConfig
      const http = yield* PinnedHttpClient
      const signer = yield* TokenSigner
      const diagnosis = yield* TokenDiagnosis

      const timedToken = timedStep("sign_token")
      const timedSign = timedCaRequest("sign")
      const timedRevoke = timedCaRequest("revoke")

      const presented = new Set<string>()

      /** Notes the token as spent before it leaves, so that a reuse can be proved; remembers the last 10,000. */
      const present = (token: OneTimeToken, path: string, body: { readonly [member: string]: unknown }) =>
        CurrentRequest.use(({ requestId }) => {
          const reused = presented.has(token.jti)
          presented.add(token.jti)
          for (const oldest of presented) {
            if (presented.size <= 10_000) break
            presented.delete(oldest)
          }
          return http
            .request({
              method: "POST",
              path,
              body: { ...body, ott: Redacted.value(token.value) },
              requestId
            })
            .pipe(Effect.map((response) => ({ response, reused })))
        })

      const shape = (problem: string) => new CaResponseShape({ origin: caUrl.origin, problem })

      const readSigned = Effect.fnUntraced(function* (response: PinnedResponse) {
        const answer = yield* Option.match(decodeSignAnswer(response.body), {
          onNone: () => Effect.fail(shape('"crt", "ca" or "certChain" is not of its type')),
          onSome: Effect.succeed
        })
        const requestId = requestIdOf(response)
        const [first, ...above] = answer.certChain ?? []
        if (first !== undefined) {
          if (answer.crt !== undefined && answer.crt.trim() !== first.trim()) {
            return yield* shape('"crt" and the first of "certChain" differ')
          }
          if (above.length > 0)
            return { leafPem: first, chainPem: above, requestId } satisfies SignedCertificate
        }
        const leafPem = first ?? answer.crt
        if (leafPem === undefined) return yield* shape('neither "crt" nor "certChain" is there')
        if (typeof answer.ca !== "string" || answer.ca === "") return yield* new CaChainMissing({ requestId })
        return { leafPem, chainPem: [answer.ca], requestId } satisfies SignedCertificate
      })

      const signOnce = Effect.fnUntraced(function* (request: SignRequest, jti: string) {
        const token = yield* timedToken(signer.forSigning(request.claims, jti))
        const { response, reused } = yield* timedSign(
          present(token, "/1.0/sign", {
            csr: request.csrPem,
            notBefore: DateTime.formatIso(request.notBefore),
            notAfter: DateTime.formatIso(request.notAfter)
          })
        )
        if (response.status === 201 || response.status === 200) return yield* readSigned(response)
        if (response.status === 401) return yield* diagnosis.explain({ token, response, reused })
        const error = refusal(response, token.audience)
        if (error._tag === "CaRateLimited" && isRepeatable(error)) {
          yield* Effect.sleep(Duration.seconds(error.retryAfterSeconds ?? 0))
        }
        return yield* error
      })

      const sign = (request: SignRequest): Effect.Effect<SignedCertificate, SignError> => {
        let tries = 0
        const next = Effect.suspend(() => {
          tries += 1
          return signOnce(request, tries === 1 ? request.jti : `${request.jti}.${tries}`)
        })
        return next.pipe(
          // Once: the CA had just started. A second past its start, a fresh token's iat lies after it.
          Effect.catchTag("CaTokenBeforeStart", (error) =>
            Effect.andThen(
              Effect.sleep(Duration.seconds(Math.min(Math.max(error.behindSeconds, 0) + 1, 5))),
              next
            )
          ),
          retryFailed({ schedule: backoff, times: retries, while: isRepeatable }),
          spanned("StepCa.sign")
        )
      }

      const revokeOnce = Effect.fnUntraced(function* (serial: SerialNumber, reason: string) {
        const token = yield* signer.forRevocation(serial)
        const { response, reused } = yield* timedRevoke(
          present(token, "/1.0/revoke", {
            serial,
            reason,
            // RFC 5280 §5.3.1: 0 is unspecified; why is in the reason.
            reasonCode: 0,
            passive: true
          })
        )
        if (response.status === 200) return
        if (response.status === 400 && detailOf(response).includes("already")) return
        if (response.status === 401) return yield* diagnosis.explain({ token, response, reused })
        return yield* refusal(response, token.audience)
      })

      const revoke = Effect.fn("StepCa.revoke")((serial: SerialNumber, reason: string) =>
        revokeOnce(serial, reason).pipe(
          // Revoking twice does no harm, so every passing fault is worth another try.
          retryFailed({ schedule: backoff, times: retries, while: (error) => error.retryable })
        )
      )

      return StepCa.of({ sign, revoke })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide(TokenDiagnosis.layerNoDeps),
    Layer.provide([PinnedHttpClient.layer, TokenSigner.layer]),
    Layer.provide(IssuanceConfig.layer)
  )
}
