/**
 * Issues one certificate for one grant. `issue` reads as the numbered steps of docs/issuance.md, and its error union is
 * the table of contents of docs/errors.md. No path returns a certificate that was not compared, field by field, with
 * what was asked and then recorded.
 */
import type { CaError } from "@mosaic-federation/domain/CaErrors"
import {
  CertificateWithheld,
  IssuanceAmbiguous,
  IssuanceInProgress,
  IssuanceOvertaken
} from "@mosaic-federation/domain/CertificateErrors"
import type { TokenSigningFailed } from "@mosaic-federation/domain/ConfigurationErrors"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import type { Grant } from "@mosaic-federation/domain/Grant"
import { GrantEndedInFlight, type GrantNotFound } from "@mosaic-federation/domain/GrantErrors"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import {
  type CsrKeyRefused,
  type CsrMalformed,
  type CsrSanMismatch,
  type CsrSignatureInvalid,
  type CsrSubjectMismatch,
  type CsrTooLarge,
  RequestInvalid
} from "@mosaic-federation/domain/RequestErrors"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import type { TransportError } from "@mosaic-federation/domain/TransportErrors"
import type { CertificateRequest } from "@mosaic-federation/x509/CertificateRequest"
import * as CertificateConformance from "@mosaic-federation/x509/CertificateConformance"
import { Cause, Context, DateTime, Duration, Effect, Layer, Result, Schedule, Schema } from "effect"
import { checkRequestedNames, readCsr } from "./Csr.ts"
import { backdate, checkSubject, decideValidity, type GrantRefusal, type Validity } from "./GrantPolicy.ts"
import { GrantRepo, type IssuanceOutcome } from "./GrantRepo.ts"
import { makeConvoys } from "./internal/convoy.ts"
import { retryFailed } from "./internal/retryFailed.ts"
import { spanned } from "./internal/spanned.ts"
import { IssuanceConfig } from "./IssuanceConfig.ts"
import { timedResult, timedStep } from "./IssuanceMetrics.ts"
import { randomSerial } from "./randomSerial.ts"
import { keepIntentsEvery } from "./TaskRepo.ts"
import { randomJti } from "./TokenSigner.ts"
import { isSignError, mayHaveSigned, type SignedCertificate, type SignError, StepCa } from "./StepCa.ts"

/** Every way in which an issuance can fail. */
export type IssuanceError =
  | RequestInvalid
  | CsrMalformed
  | CsrTooLarge
  | CsrSignatureInvalid
  | CsrKeyRefused
  | CsrSubjectMismatch
  | CsrSanMismatch
  | GrantNotFound
  | GrantRefusal
  | GrantEndedInFlight
  | TokenSigningFailed
  | TransportError
  | CaError
  | CertificateWithheld
  | IssuanceAmbiguous
  | IssuanceInProgress
  | IssuanceOvertaken
  | StorageError

interface Asked {
  readonly grant: Grant
  readonly csr: CertificateRequest
  readonly validity: Validity
  readonly requestedAt: DateTime.Utc
  readonly serial: SerialNumber
  readonly jti: string
}

/** What one certificate is asked for with, under a grant that the caller has just read. */
export interface GrantedRequest {
  readonly grant: Grant
  readonly csrPem: string
  readonly lifetime?: Duration.Duration
}

/** How far the CA's clock may run behind ours before its notBefore is held against it. */
const skew = Duration.minutes(1)

/** A certificate that was lost is made good by one more with a new serial, after the first one's is revoked. */
const repeat = Schedule.exponential(Duration.millis(200), 2).pipe(Schedule.jittered)
const repeats = 1

/** The serial of such a try is revoked, so another one with a new serial cannot lead to two live certificates. */
const isLost = (error: IssuanceError): boolean =>
  error._tag === "IssuanceOvertaken"
    ? error.revokedAtCa
    : isSignError(error) && error.retryable && mayHaveSigned(error)

/** How long a request waits for another one with the same CSR: 20 s, which is longer than one try of the CA. */
const look = Schedule.spaced(Duration.millis(50))
const looks = 400

/** How long a certificate waits for those that were asked for with it, so that one commit records them all. */
const longestWait = Duration.millis(20)

/** A typed error was settled where it arose; an interruption or a defect was not. */
const isSettled = (cause: Cause.Cause<unknown>): boolean =>
  !Cause.hasInterrupts(cause) && !Cause.hasDies(cause)

/** By its fields: a schema of the class would take any object of that prototype, whatever it holds. */
const decodeRequest = Schema.decodeUnknownEffect(Schema.toType(Schema.Struct(IssueCertRequest.fields)))

export class Issuance extends Context.Service<
  Issuance,
  {
    /** The CSR's own certificate, where it has one of this grant that is good for as long as is asked; else a new one. */
    readonly issue: (request: IssueCertRequest) => Effect.Effect<IssuedCert, IssuanceError>
    /** The same, without reading again what the caller has just read. */
    readonly issueUnder: (request: GrantedRequest) => Effect.Effect<IssuedCert, IssuanceError>
  }
>()("@mosaic-federation/issuance/Issuance") {
  static readonly layerNoDeps = Layer.effect(
    Issuance,
    Effect.gen(function* () {
      const { lifetimes, oids, roots } = yield* IssuanceConfig
      const grants = yield* GrantRepo
      const ca = yield* StepCa

      /** True where the CA has confirmed it. What failed is on record with the outcome, so the failure is not lost. */
      const revokeAtCa = (serial: SerialNumber, reason: string) =>
        ca.revoke(serial, reason).pipe(
          Effect.as(true),
          Effect.catch((error) =>
            Effect.as(Effect.logWarning("revocation at the CA failed", { serial, code: error.code }), false)
          )
        )

      /** The error that led here is the one to tell; where its record fails, the intent on record still says the truth. */
      const recordOutcome = (outcome: IssuanceOutcome) =>
        grants.recordOutcome(outcome).pipe(
          Effect.catch((error) =>
            Effect.logError("outcome not recorded, the intent stays open", {
              serial: outcome.serial,
              code: error.code
            })
          )
        )

      /** The CA may have signed, and nobody holds the certificate: after this its serial is dead or on record as ambiguous. */
      const settleLost = Effect.fnUntraced(function* (serial: SerialNumber, errorCode: string) {
        const revokedAtCa = yield* revokeAtCa(serial, `answer lost: ${errorCode}`)
        yield* recordOutcome({ serial, state: "ambiguous", errorCode, revokedAtCa })
        return revokedAtCa
      }, spanned("Issuance.settleLost"))

      const afterRefusal = Effect.fnUntraced(function* (
        { grant, serial, validity }: Asked,
        error: SignError
      ) {
        if (!mayHaveSigned(error)) {
          yield* recordOutcome({ serial, state: "refused", errorCode: error.code, revokedAtCa: false })
          return yield* error
        }
        if (yield* settleLost(serial, error.code)) return yield* error
        return yield* new IssuanceAmbiguous({
          grantId: grant.id,
          serial,
          becauseCode: error.code,
          because: error.message,
          deadBy: validity.notAfter
        })
      })

      const timedRead = timedResult("read_csr")
      const timedFind = timedStep("find_grant")
      const timedCheck = timedResult("check_grant")
      const timedIntent = timedStep("record_intent")

      const recordIntent = ({ csr, grant, jti, requestedAt, serial, validity }: Asked) =>
        CurrentRequest.use(({ requestId, requester }) =>
          grants.recordIntent({
            serial,
            grantId: grant.id,
            subjectUserId: grant.subjectUserId,
            csrSha256: csr.sha256Hex,
            jti,
            requester,
            requestId,
            requestedAt,
            notAfter: validity.notAfter
          })
        ).pipe(timedIntent)

      const timedAsk = timedStep("ask_ca")

      const askCa = (asked: Asked) => {
        const { csr, grant, jti, serial, validity } = asked
        const claims = {
          grantId: grant.id,
          subjectUserId: grant.subjectUserId,
          serial,
          csrSha256: csr.sha256Hex
        }
        return ca.sign({ claims, jti, csrPem: csr.pem, ...validity }).pipe(
          Effect.catch((error) => afterRefusal(asked, error)),
          timedAsk,
          spanned("Issuance.askCa")
        )
      }

      const checkConformance = Effect.fnUntraced(
        function* (asked: Asked, signed: SignedCertificate) {
          const { csr, grant, requestedAt, serial, validity } = asked
          const checked = CertificateConformance.check(
            { leaf: signed.leafPem, chain: signed.chainPem },
            {
              grantId: grant.id,
              subjectUserId: grant.subjectUserId,
              csrSpki: csr.publicKeySpki,
              serial,
              notAfter: DateTime.toDateUtc(validity.notAfter),
              grantExpiresAt: DateTime.toDateUtc(grant.expiresAt),
              maxLifetimeMillis: Duration.toMillis(lifetimes.longest),
              requestedAt: DateTime.toDateUtc(requestedAt),
              backdateMillis: Duration.toMillis(backdate),
              skewMillis: Duration.toMillis(skew),
              now: DateTime.toDateUtc(yield* DateTime.now),
              roots,
              oids
            }
          )
          if (Result.isSuccess(checked)) return checked.success
          const revokedAtCa = yield* revokeAtCa(serial, "certificate does not conform to its grant")
          const error = new CertificateWithheld({
            grantId: grant.id,
            serial,
            mismatches: checked.failure,
            revokedAtCa
          })
          yield* recordOutcome({ serial, state: "withheld", errorCode: error.code, revokedAtCa })
          return yield* error
        },
        timedStep("check_conformance"),
        spanned("Issuance.checkConformance")
      )

      const record = Effect.fnUntraced(
        function* (asked: Asked, conformant: CertificateConformance.ConformantCertificate) {
          const { grant, serial } = asked
          const issued = new IssuedCert({
            certificate: conformant.leaf.pem,
            chain: conformant.chain.map(({ pem }) => pem),
            serial,
            notBefore: DateTime.fromDateUnsafe(conformant.leaf.notBefore),
            notAfter: DateTime.fromDateUnsafe(conformant.leaf.notAfter)
          })
          const result = yield* grants
            .recordIssued(issued, conformant.leaf.fingerprintSha256)
            .pipe(
              Effect.tapError(({ code: errorCode }) =>
                Effect.flatMap(revokeAtCa(serial, "certificate could not be recorded"), (revokedAtCa) =>
                  recordOutcome({ serial, state: "withheld", errorCode, revokedAtCa })
                )
              )
            )
          if (result._tag === "Recorded") return issued
          const why = result._tag === "GrantEnded" ? `grant ${result.status} in flight` : result.problem
          const revokedAtCa = yield* revokeAtCa(serial, why)
          const told = { grantId: grant.id, serial, revokedAtCa }
          const error =
            result._tag === "GrantEnded"
              ? new GrantEndedInFlight({ ...told, status: result.status })
              : new IssuanceOvertaken({ ...told, problem: result.problem })
          yield* recordOutcome({ serial, state: "withheld", errorCode: error.code, revokedAtCa })
          return yield* error
        },
        timedStep("record_certificate"),
        spanned("Issuance.record")
      )

      /** Serials of intents without an outcome. While this program lives, it says so, and nobody else settles them. */
      const open = new Set<SerialNumber>()
      const keep = Effect.suspend(() => (open.size === 0 ? Effect.void : grants.keepIntents([...open])))
      yield* Effect.forkScoped(
        Effect.forever(Effect.andThen(Effect.sleep(keepIntentsEvery), Effect.ignore(keep)))
      )

      const together = makeConvoys(longestWait)

      const finish = Effect.fnUntraced(function* (asked: Asked) {
        // 5. and 6. Sign the one-time token and ask the CA.
        const signed = yield* together(askCa(asked))
        // 7. Compare what came back with what was asked.
        const conformant = yield* checkConformance(asked, signed)
        // 8. Record the certificate, if the grant is still active; only then hand it out.
        return yield* record(asked, conformant)
      })

      const attempt = Effect.fnUntraced(function* (
        request: Pick<GrantedRequest, "grant" | "lifetime">,
        csr: CertificateRequest
      ): Effect.fn.Return<IssuedCert, IssuanceError> {
        const { grant } = request
        // 3. Check the request against the grant, at this very moment.
        const requestedAt = yield* DateTime.now
        const validity = yield* timedCheck(() =>
          Result.flatMap(decideValidity(grant, request, lifetimes, requestedAt), (decided) =>
            Result.map(checkRequestedNames(csr, grant.id), () => decided)
          )
        )
        // 4. Choose the serial number and record the intent, before the CA hears of it.
        const serial = randomSerial()
        const asked: Asked = { grant, csr, validity, requestedAt, serial, jti: randomJti() }
        const begun = yield* recordIntent(asked)
        switch (begun._tag) {
          case "IssuedBefore":
            return begun.issued
          case "InProgress":
            return yield* new IssuanceInProgress({ grantId: grant.id, serial: begun.serial })
          case "NotGranted":
            // The grant has changed since it was read.
            return yield* attempt({ ...request, grant: yield* timedFind(grants.find(grant.id)) }, csr)
          case "Recorded":
            open.add(serial)
            return yield* finish(asked).pipe(
              Effect.onError((cause) => (isSettled(cause) ? Effect.void : settleLost(serial, "INTERRUPTED"))),
              Effect.ensuring(Effect.sync(() => open.delete(serial)))
            )
        }
      })

      const issueFor = (request: Pick<GrantedRequest, "grant" | "lifetime">, csr: CertificateRequest) =>
        attempt(request, csr).pipe(
          retryFailed({ schedule: repeat, times: repeats, while: isLost }),
          retryFailed({ schedule: look, times: looks, while: ({ _tag }) => _tag === "IssuanceInProgress" })
        )

      return Issuance.of({
        issueUnder: Effect.fnUntraced(function* (
          request: GrantedRequest
        ): Effect.fn.Return<IssuedCert, IssuanceError> {
          return yield* issueFor(request, yield* timedRead(() => readCsr(request.csrPem)))
        }, spanned("Issuance.issue")),
        issue: Effect.fnUntraced(function* (
          input: IssueCertRequest
        ): Effect.fn.Return<IssuedCert, IssuanceError> {
          // 1. Validate the request and read the CSR: form, proof of possession, key policy.
          const request = yield* decodeRequest(input).pipe(
            Effect.mapError((error) => new RequestInvalid({ problem: error.message }))
          )
          const csr = yield* timedRead(() => readCsr(request.csrPem))
          // 2. Find the grant, of the user that was named.
          const grant = yield* timedFind(grants.find(request.grantId))
          yield* Effect.fromResult(checkSubject(grant, request.subjectUserId))
          const { lifetime } = request
          return yield* issueFor({ grant, ...(lifetime === undefined ? {} : { lifetime }) }, csr)
        }, spanned("Issuance.issue"))
      })
    })
  )

  /** Grants and certificates in PostgreSQL, settings from the environment, the CA over the pinned connection. */
  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([StepCa.layer, GrantRepo.layer]),
    Layer.provide(IssuanceConfig.layer)
  )
}
