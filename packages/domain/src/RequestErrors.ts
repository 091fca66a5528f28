/** What is wrong with a request itself, before any grant or CA is looked at. */
import { Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

const refused = { exitCode: ExitCode.refused, retryable: false } as const

const makeCsr =
  "make a request with an accepted key: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj / -out request.csr"

export class RequestInvalid extends ErrorClass<RequestInvalid>()(
  "RequestInvalid",
  { problem: Schema.String },
  {
    code: "REQUEST_INVALID",
    title: "The request is not of the form that it must have",
    explanation: "A field of the request is absent or of the wrong form; the message names it.",
    httpStatus: 400,
    exitCode: ExitCode.usage,
    retryable: false,
    message: ({ problem }) => problem,
    remediation: () =>
      "correct the field that is named; its form is in /docs of the gateway (docs/api.md), and for a command in what it says with --help"
  }
) {}

export class CsrMalformed extends ErrorClass<CsrMalformed>()(
  "CsrMalformed",
  { problem: Schema.String },
  {
    ...refused,
    code: "CSR_MALFORMED",
    title: "The CSR cannot be read",
    explanation: "The input is not one PKCS#10 certification request (RFC 2986) in PEM or DER.",
    httpStatus: 400,
    message: ({ problem }) => `the CSR is malformed: ${problem}`,
    remediation: () => makeCsr
  }
) {}

export class CsrTooLarge extends ErrorClass<CsrTooLarge>()(
  "CsrTooLarge",
  { size: Schema.Int, most: Schema.Int },
  {
    ...refused,
    code: "CSR_TOO_LARGE",
    title: "The CSR is too large",
    explanation: "A request with an accepted key is a few kilobytes at most.",
    httpStatus: 413,
    message: ({ most, size }) => `the CSR has ${size} bytes, at most ${most} are read`,
    remediation: () => `leave requested extensions out, they are ignored; ${makeCsr}`
  }
) {}

export class CsrSignatureInvalid extends ErrorClass<CsrSignatureInvalid>()(
  "CsrSignatureInvalid",
  { problem: Schema.String },
  {
    ...refused,
    code: "CSR_SIGNATURE_INVALID",
    title: "The CSR does not prove possession of its key",
    explanation:
      "The signature of the request does not verify with the public key in it (RFC 2986 §4.2), or uses a weak algorithm.",
    httpStatus: 400,
    message: ({ problem }) => `signature: ${problem}`,
    remediation: () =>
      `sign the request with the private key of its public key; to see it: openssl req -verify -noout -in request.csr`
  }
) {}

export class CsrKeyRefused extends ErrorClass<CsrKeyRefused>()(
  "CsrKeyRefused",
  { found: Schema.String, allowed: Schema.String },
  {
    ...refused,
    code: "CSR_KEY_REFUSED",
    title: "The CSR's key is of a kind that is not accepted",
    explanation: "Accepted are EC P-256, EC P-384, Ed25519 and RSA of 2048 to 8192 bits.",
    httpStatus: 400,
    message: ({ allowed, found }) =>
      `subjectPublicKeyInfo: ${found} is not accepted; accepted are ${allowed}`,
    remediation: () => makeCsr
  }
) {}

export class CsrSubjectMismatch extends ErrorClass<CsrSubjectMismatch>()(
  "CsrSubjectMismatch",
  { expected: Schema.String, found: Schema.String },
  {
    ...refused,
    code: "CSR_SUBJECT_MISMATCH",
    title: "The CSR's subject contradicts the grant",
    explanation: "The subject of the request must be empty or exactly CN=<grant id>.",
    httpStatus: 403,
    message: ({ expected, found }) => `subject: expected an empty one or ${expected}, found ${found}`,
    remediation: () =>
      `make the request with an empty subject: openssl req -new -key key.pem -subj / -out request.csr`
  }
) {}

export class CsrSanMismatch extends ErrorClass<CsrSanMismatch>()(
  "CsrSanMismatch",
  { expected: Schema.String, found: Schema.String },
  {
    ...refused,
    code: "CSR_SAN_MISMATCH",
    title: "The CSR's subjectAltName contradicts the grant",
    explanation: "The request must carry no subjectAltName, or exactly the one URI urn:uuid:<grant id>.",
    httpStatus: 403,
    message: ({ expected, found }) => `subjectAltName: expected none or ${expected}, found ${found}`,
    remediation: () =>
      `make the request without names: openssl req -new -key key.pem -subj / -out request.csr`
  }
) {}

/** What keeps a client within each limit of the gateway. */
const seldomer: Readonly<Record<string, string>> = {
  "per-grant":
    "; a client that asks for one certificate at a time, and renews it at two thirds of the time between its receipt and its end, meets no limit",
  "per-key":
    ", and less often; a key for each program counts by itself, and the gateway's MOSAIC_RATE_PER_KEY allows more",
  "per-address":
    ", and less often; all clients behind one address count together, and the gateway's MOSAIC_RATE_PER_ADDRESS allows more"
}

export class RateLimited extends ErrorClass<RateLimited>()(
  "RateLimited",
  {
    limit: Schema.String,
    allowed: Schema.Int,
    windowSeconds: Schema.Int,
    retryAfterSeconds: Schema.Int
  },
  {
    ...refused,
    code: "RATE_LIMITED",
    title: "Too many requests",
    explanation:
      "The caller has used up what this limit allows (RFC 6585 §4). Nothing was done; the allowance comes back evenly over its window.",
    httpStatus: 429,
    retryable: true,
    message: ({ allowed, limit, retryAfterSeconds, windowSeconds }) =>
      `the limit ${limit} allows ${allowed} in ${windowSeconds} s, and they are used up for ${retryAfterSeconds} s`,
    remediation: ({ limit, retryAfterSeconds }) =>
      `ask again in ${retryAfterSeconds} s${seldomer[limit] ?? ""}`
  }
) {}
