/** Certificates that are not handed out, and certificates that are not what they claim to be. */
import { DateTime, Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"
import { GrantId } from "./GrantId.ts"

/** One field of a certificate that is not as it must be, in the field's standard name. */
export const Mismatch = Schema.Struct({ field: Schema.String, expected: Schema.String, found: Schema.String })

const listed = (mismatches: ReadonlyArray<typeof Mismatch.Type>) =>
  mismatches.map(({ expected, field, found }) => `${field}: expected ${expected}, found ${found}`).join("; ")

export class CertificateWithheld extends ErrorClass<CertificateWithheld>()(
  "CertificateWithheld",
  {
    grantId: GrantId,
    serial: Schema.String,
    mismatches: Schema.Array(Mismatch),
    revokedAtCa: Schema.Boolean
  },
  {
    code: "CERTIFICATE_WITHHELD",
    title: "The CA's certificate is not what was asked for and is withheld",
    explanation:
      "The certificate that came back differs from the grant or the request. It is never handed out; the serial that we chose is revoked at the CA, and the record says so.",
    httpStatus: 502,
    exitCode: ExitCode.withheld,
    retryable: false,
    message: ({ mismatches, revokedAtCa, serial }) =>
      `${listed(mismatches)}; serial ${serial} ${revokedAtCa ? "is revoked at the CA" : "could not be revoked at the CA and stays on record as withheld"}`,
    remediation: () =>
      `check the template that the CA uses (init.sh repairs it and prints its SHA-256) and what stands between the CA and this program`
  }
) {}

export class IssuanceAmbiguous extends ErrorClass<IssuanceAmbiguous>()(
  "IssuanceAmbiguous",
  {
    grantId: GrantId,
    serial: Schema.String,
    becauseCode: Schema.String,
    because: Schema.String,
    deadBy: Schema.DateTimeUtcFromString
  },
  {
    code: "ISSUANCE_AMBIGUOUS",
    title: "The CA's answer was lost, and the serial could not be revoked",
    explanation:
      "A certificate of this serial may exist at the CA, but it was handed to nobody, it is on record as ambiguous, and it is dead by the time stated. No other try was made.",
    httpStatus: 502,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ because, becauseCode, deadBy, serial }) =>
      `${becauseCode}: ${because}; a certificate of serial ${serial} may exist and is dead by ${DateTime.formatIso(deadBy)}`,
    remediation: ({ serial }) =>
      `ask again when the CA answers; a running gateway has the serial revoked then, and so has: mosaic federation cert revoke ${serial} --reason "answer lost"`
  }
) {}

export class IssuanceInProgress extends ErrorClass<IssuanceInProgress>()(
  "IssuanceInProgress",
  { grantId: GrantId, serial: Schema.String },
  {
    code: "ISSUANCE_IN_PROGRESS",
    title: "Another request is asking for a certificate for the same CSR",
    explanation:
      "For one grant and one CSR one certificate is issued. Another request with the same two was at work on it for as long as this one waited. It ends by itself; should its program die, its intent is settled within seconds.",
    httpStatus: 409,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ grantId, serial }) =>
      `another request is asking for a certificate of grant ${grantId} for this CSR, with serial ${serial}`,
    remediation: () => `ask again with the same CSR: the answer is the other request's certificate`
  }
) {}

export class IssuanceOvertaken extends ErrorClass<IssuanceOvertaken>()(
  "IssuanceOvertaken",
  { grantId: GrantId, serial: Schema.String, problem: Schema.String, revokedAtCa: Schema.Boolean },
  {
    code: "ISSUANCE_OVERTAKEN",
    title: "What the certificate stands on changed while it was being issued",
    explanation:
      "The grant's end was moved before the certificate's, or the issuance took so long that it was given up and settled by another program. The certificate is withheld and revoked at the CA; another try starts from what holds now.",
    httpStatus: 409,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ grantId, problem, revokedAtCa, serial }) =>
      `grant ${grantId}: ${problem}; certificate ${serial} is withheld${revokedAtCa ? " and revoked at the CA" : "; its revocation at the CA failed"}`,
    remediation: () => "ask again: the certificate is issued under the grant as it is now"
  }
) {}

export class CertificateUnreadable extends ErrorClass<CertificateUnreadable>()(
  "CertificateUnreadable",
  { source: Schema.String, problem: Schema.String },
  {
    code: "CERTIFICATE_UNREADABLE",
    title: "This is not a certificate",
    explanation: "The input holds no certificate in PEM or DER (RFC 5280, RFC 7468), or a damaged one.",
    httpStatus: 400,
    exitCode: ExitCode.usage,
    retryable: false,
    message: ({ problem, source }) => `${source}: ${problem}`,
    remediation: ({ source }) =>
      `name a file with a certificate in PEM or DER; to see what it holds: openssl x509 -in ${source} -noout -text`
  }
) {}

export class CertificateNotConformant extends ErrorClass<CertificateNotConformant>()(
  "CertificateNotConformant",
  { source: Schema.String, mismatches: Schema.Array(Mismatch) },
  {
    code: "CERTIFICATE_NOT_CONFORMANT",
    title: "The certificate is not a valid grant certificate",
    explanation: "At least one check of a grant certificate failed. Do not accept it as an identity.",
    httpStatus: 400,
    exitCode: ExitCode.withheld,
    retryable: false,
    message: ({ mismatches, source }) => `${source}: ${listed(mismatches)}`,
    remediation: () =>
      `ask the grantor for a new certificate, and check that --root names the root of the CA that issued this one`
  }
) {}
