/**
 * Redeems an enrollment token for a certificate. The token is used up by the commit of the certificate and by nothing
 * before it: a failed try leaves it valid, a lost answer costs nothing, and of two redemptions at once the second waits
 * for what the first brings.
 */
import { createHash, randomUUID } from "node:crypto"
import {
  EnrollmentKeyMismatch,
  EnrollmentTokenBusy,
  EnrollmentTokenExpired,
  type EnrollmentTokenMalformed,
  EnrollmentTokenRevoked,
  EnrollmentTokenUnknown,
  EnrollmentTokenUsed
} from "@mosaic-federation/domain/EnrollmentErrors"
import {
  type EnrollmentToken,
  type EnrollmentTokenUse,
  parseEnrollmentToken,
  repeatableFor
} from "@mosaic-federation/domain/EnrollmentToken"
import type { Grant } from "@mosaic-federation/domain/Grant"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import type { StorageFailed } from "@mosaic-federation/domain/StorageErrors"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { CurrentOrigin } from "@mosaic-federation/issuance/CurrentOrigin"
import { readCsr } from "@mosaic-federation/issuance/Csr"
import {
  type ClaimId,
  EnrollmentTokenRepo,
  type RecordedToken,
  type Redeemer
} from "@mosaic-federation/issuance/EnrollmentTokenRepo"
import { checkStatus } from "@mosaic-federation/issuance/GrantPolicy"
import { goodCertificateOf, GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Issuance, type IssuanceError } from "@mosaic-federation/issuance/Issuance"
import type { CertificateRequest } from "@mosaic-federation/x509/CertificateRequest"
import { Context, DateTime, Duration, Effect, Layer, Option, type Redacted, Result, Schedule } from "effect"
import { tokenSha256 } from "./EnrollmentTokens.ts"

export interface Redemption {
  readonly token: Redacted.Redacted
  /** PKCS#10 in PEM. */
  readonly csrPem: string
  readonly redeemer: Redeemer
}

export interface Enrolled {
  readonly issued: IssuedCert
  readonly grant: Grant
  readonly token: EnrollmentToken
  /** The certificate was issued by an earlier request, whose answer may have been lost. */
  readonly repeated: boolean
}

export type RedemptionError =
  | EnrollmentTokenMalformed
  | EnrollmentTokenUnknown
  | EnrollmentTokenExpired
  | EnrollmentTokenRevoked
  | EnrollmentTokenUsed
  | EnrollmentTokenBusy
  | EnrollmentKeyMismatch
  | IssuanceError

/** After a crash the token is free again when this is over. An issuance ends long before, by its own time-outs. */
const lease = Duration.minutes(1)

/** How long a redemption waits for another one of the same token. */
const look = Schedule.spaced(Duration.millis(100))
const looks = 100

const usedError = ({ id }: EnrollmentToken, use: EnrollmentTokenUse) =>
  new EnrollmentTokenUsed({
    tokenId: id,
    usedAt: use.at,
    usedFrom: use.from,
    usedByRequest: use.requestId,
    serial: use.serial
  })

const keySha256Of = ({ publicKeySpki }: CertificateRequest) =>
  createHash("sha256").update(publicKeySpki).digest("hex")

type Refusal = EnrollmentTokenUsed | EnrollmentTokenRevoked | EnrollmentTokenExpired | EnrollmentKeyMismatch

type Decision = { readonly _tag: "Open" } | { readonly _tag: "Repeat"; readonly use: EnrollmentTokenUse }

/** `Open`: it may be tried. `Repeat`: this CSR has the token's certificate already. */
export const decideRedemption = (
  { token, usedForCsr }: RecordedToken,
  csr: CertificateRequest,
  now: DateTime.Utc
): Result.Result<Decision, Refusal> => {
  const { expiresAt, id: tokenId, keySha256, revokedAt, use } = token
  if (use !== null) {
    const inTime = DateTime.isLessThan(now, DateTime.addDuration(use.at, repeatableFor))
    return usedForCsr === csr.sha256Hex && inTime
      ? Result.succeed({ _tag: "Repeat", use })
      : Result.fail(usedError(token, use))
  }
  if (revokedAt !== null) return Result.fail(new EnrollmentTokenRevoked({ tokenId, revokedAt }))
  if (DateTime.isGreaterThanOrEqualTo(now, expiresAt)) {
    return Result.fail(new EnrollmentTokenExpired({ tokenId, expiresAt }))
  }
  const found = keySha256Of(csr)
  return keySha256 === null || keySha256 === found
    ? Result.succeed({ _tag: "Open" })
    : Result.fail(new EnrollmentKeyMismatch({ tokenId, expected: keySha256, found }))
}

export class Enrollment extends Context.Service<
  Enrollment,
  {
    readonly redeem: (redemption: Redemption) => Effect.Effect<Enrolled, RedemptionError>
  }
>()("@mosaic-federation/gateway/Enrollment") {
  /** The `Issuance` must stand on the `GrantRepo` of `CertificateOrigin`. */
  static readonly layerNoDeps = Layer.effect(
    Enrollment,
    Effect.gen(function* () {
      const grants = yield* GrantRepo
      const issuance = yield* Issuance
      const tokens = yield* EnrollmentTokenRepo
      const { refusing } = yield* AuditRepo

      const decide = (recorded: RecordedToken, csr: CertificateRequest, now: DateTime.Utc) => {
        const { grantId, id: subject } = recorded.token
        const decision = Effect.fromResult(decideRedemption(recorded, csr, now))
        return refusing({ action: "token.redeem", grantId, subject }, decision)
      }

      const findToken = Effect.fnUntraced(function* (token: Redacted.Redacted) {
        yield* Effect.fromResult(parseEnrollmentToken(token))
        const found = yield* tokens.findByHash(tokenSha256(token))
        return Option.isSome(found) ? found.value : yield* new EnrollmentTokenUnknown()
      })

      /** What the earlier request brought, as long as it is worth something. */
      const again = Effect.fnUntraced(function* (token: EnrollmentToken, use: EnrollmentTokenUse) {
        const grant = yield* grants.find(token.grantId)
        const now = yield* DateTime.now
        yield* Effect.fromResult(checkStatus(grant, now))
        const [record] = yield* grants.certificates({ serial: use.serial, limit: 1 })
        const issued = record === undefined ? Option.none() : goodCertificateOf(record, now)
        if (Option.isNone(issued)) return yield* usedError(token, use)
        return { issued: issued.value, grant, token, repeated: true } satisfies Enrolled
      })

      const issue = Effect.fnUntraced(function* (
        token: EnrollmentToken,
        { csrPem, redeemer }: Redemption,
        claim: ClaimId
      ) {
        const grant = yield* grants.find(token.grantId)
        const issued = yield* Effect.provideService(issuance.issueUnder({ grant, csrPem }), CurrentOrigin, {
          _tag: "Enrollment",
          tokenId: token.id,
          ...redeemer
        })
        // Where the grant had a certificate for this very CSR, nothing was committed that used the token up.
        yield* tokens.useUp(token.id, claim, issued.serial, redeemer)
        return { issued, grant, token, repeated: false } satisfies Enrolled
      })

      /** A certificate is not recorded when its token was revoked, or used by a redemption that a crash let in, meanwhile. */
      const explain = Effect.fnUntraced(function* (
        token: Redacted.Redacted,
        csr: CertificateRequest,
        error: StorageFailed
      ) {
        const recorded = yield* findToken(token)
        yield* decide(recorded, csr, yield* DateTime.now)
        return yield* error
      })

      const attempt = Effect.fnUntraced(function* (redemption: Redemption, csr: CertificateRequest) {
        const recorded = yield* findToken(redemption.token)
        const { token } = recorded
        const decision = yield* decide(recorded, csr, yield* DateTime.now)
        if (decision._tag === "Repeat") return yield* again(token, decision.use)
        const claim = randomUUID()
        return yield* Effect.gen(function* () {
          if (yield* tokens.claim(token.id, claim, keySha256Of(csr), lease)) {
            return yield* issue(token, redemption, claim)
          }
          return yield* new EnrollmentTokenBusy({ tokenId: token.id })
        }).pipe(
          Effect.catchTag("StorageFailed", (error) => explain(redemption.token, csr, error)),
          Effect.onError(() => Effect.ignore(tokens.release(token.id, claim)))
        )
      })

      return Enrollment.of({
        redeem: Effect.fn("Enrollment.redeem")(function* (
          redemption: Redemption
        ): Effect.fn.Return<Enrolled, RedemptionError> {
          const csr = yield* Effect.fromResult(readCsr(redemption.csrPem))
          return yield* Effect.retry(attempt(redemption, csr), {
            schedule: look,
            times: looks,
            while: ({ _tag }) => _tag === "EnrollmentTokenBusy"
          })
        })
      })
    })
  )
}
