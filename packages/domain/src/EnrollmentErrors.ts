/** Why an enrollment token gives no certificate. None of them repeats the token; its id is no secret. */
import { DateTime, Schema } from "effect"
import { EnrollmentTokenId } from "./EnrollmentTokenId.ts"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

const refused = { exitCode: ExitCode.refused, retryable: false } as const

const newToken = "ask the grantor for a new token: mosaic federation token create --grant GRANT"

export class EnrollmentTokenMalformed extends ErrorClass<EnrollmentTokenMalformed>()(
  "EnrollmentTokenMalformed",
  { problem: Schema.String },
  {
    code: "ENROLLMENT_TOKEN_MALFORMED",
    title: "This is not an enrollment token",
    explanation:
      "An enrollment token is one word that begins with mosaic_enroll_1_. It was cut, wrapped or mixed up with another secret.",
    httpStatus: 401,
    exitCode: ExitCode.usage,
    retryable: false,
    message: ({ problem }) => problem,
    remediation: () => `give the whole token on one line, as mosaic federation token create printed it`
  }
) {}

export class EnrollmentTokenUnknown extends ErrorClass<EnrollmentTokenUnknown>()(
  "EnrollmentTokenUnknown",
  {},
  {
    ...refused,
    code: "ENROLLMENT_TOKEN_UNKNOWN",
    title: "No such enrollment token was made here",
    explanation:
      "The gateway has no record of this token: it is another gateway's, it was altered, or none was sent.",
    httpStatus: 401,
    message: () => `the token is not on record at this gateway`,
    remediation: () => `check that token and --url are of the same gateway, or ${newToken}`
  }
) {}

export class EnrollmentTokenNotFound extends ErrorClass<EnrollmentTokenNotFound>()(
  "EnrollmentTokenNotFound",
  { tokenId: EnrollmentTokenId },
  {
    ...refused,
    code: "ENROLLMENT_TOKEN_NOT_FOUND",
    title: "There is no enrollment token of this id",
    explanation: "No row has this id. It may live in another database: see DATABASE_URL and MOSAIC_HOME.",
    httpStatus: 404,
    message: ({ tokenId }) => `no enrollment token ${tokenId}`,
    remediation: () => `list the tokens of a grant: mosaic federation token list --grant GRANT`
  }
) {}

export class EnrollmentTokenExpired extends ErrorClass<EnrollmentTokenExpired>()(
  "EnrollmentTokenExpired",
  { tokenId: EnrollmentTokenId, expiresAt: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "ENROLLMENT_TOKEN_EXPIRED",
    title: "The enrollment token has expired",
    explanation:
      "The token was not used before its end. It lives 10 minutes unless it was made to live longer.",
    httpStatus: 403,
    message: ({ expiresAt, tokenId }) =>
      `enrollment token ${tokenId} expired at ${DateTime.formatIso(expiresAt)}`,
    remediation: () => newToken
  }
) {}

export class EnrollmentTokenRevoked extends ErrorClass<EnrollmentTokenRevoked>()(
  "EnrollmentTokenRevoked",
  { tokenId: EnrollmentTokenId, revokedAt: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "ENROLLMENT_TOKEN_REVOKED",
    title: "The enrollment token is revoked",
    explanation: "The grantor took the token back.",
    httpStatus: 403,
    message: ({ revokedAt, tokenId }) =>
      `enrollment token ${tokenId} was revoked at ${DateTime.formatIso(revokedAt)}`,
    remediation: () => newToken
  }
) {}

export class EnrollmentTokenUsed extends ErrorClass<EnrollmentTokenUsed>()(
  "EnrollmentTokenUsed",
  {
    tokenId: EnrollmentTokenId,
    usedAt: Schema.DateTimeUtcFromString,
    usedFrom: Schema.String,
    usedByRequest: Schema.String,
    serial: Schema.String
  },
  {
    ...refused,
    code: "ENROLLMENT_TOKEN_USED",
    title: "The enrollment token was used already",
    explanation:
      "A token gives one certificate. The same CSR gets that certificate again for an hour after the use; another CSR, or a later repeat, is refused.",
    httpStatus: 409,
    message: ({ serial, tokenId, usedAt, usedByRequest, usedFrom }) =>
      `enrollment token ${tokenId} was used at ${DateTime.formatIso(usedAt)} from ${usedFrom} by request ${usedByRequest} for certificate ${serial}`,
    remediation: ({ serial }) =>
      `if that was not you, have the grantor revoke certificate ${serial} and its grant at once; else ${newToken}`
  }
) {}

export class EnrollmentTokenBusy extends ErrorClass<EnrollmentTokenBusy>()(
  "EnrollmentTokenBusy",
  { tokenId: EnrollmentTokenId },
  {
    code: "ENROLLMENT_TOKEN_BUSY",
    title: "Another request is redeeming the enrollment token",
    explanation:
      "A redemption of the same token has not ended yet. The token is used up by its success alone; after its failure, or a minute after a crash, it may be tried again.",
    httpStatus: 503,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ tokenId }) => `enrollment token ${tokenId} is being redeemed by another request`,
    remediation: () => `try again in a minute with the same CSR`
  }
) {}

export class EnrollmentKeyMismatch extends ErrorClass<EnrollmentKeyMismatch>()(
  "EnrollmentKeyMismatch",
  { tokenId: EnrollmentTokenId, expected: Schema.String, found: Schema.String },
  {
    ...refused,
    code: "ENROLLMENT_KEY_MISMATCH",
    title: "The enrollment token is bound to another key",
    explanation:
      "The token was made for one key, by the SHA-256 of its SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). The CSR is of another key.",
    httpStatus: 403,
    message: ({ expected, found, tokenId }) =>
      `enrollment token ${tokenId} is bound to key SHA-256 ${expected}, the CSR is of key ${found}`,
    remediation: () =>
      `enroll with the CSR of that key; a key's fingerprint: openssl pkey -in KEY -pubout -outform DER | openssl sha256`
  }
) {}

export const EnrollmentError = Schema.Union([
  EnrollmentTokenMalformed,
  EnrollmentTokenUnknown,
  EnrollmentTokenNotFound,
  EnrollmentTokenExpired,
  EnrollmentTokenRevoked,
  EnrollmentTokenUsed,
  EnrollmentTokenBusy,
  EnrollmentKeyMismatch
])

export type EnrollmentError = typeof EnrollmentError.Type
