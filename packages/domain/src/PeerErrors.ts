/** Why a peer that shows a certificate is not taken for who it says it is, or gets no new one for it. */
import { DateTime, Duration, Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"
import { formatLifetime } from "./Lifetime.ts"

const refused = { exitCode: ExitCode.refused, retryable: false } as const

const enrollAgain =
  "ask the grantor for an enrollment token and enroll again: mosaic federation enroll --url URL --token-file FILE --out DIR --force"

export class PeerCertificateMissing extends ErrorClass<PeerCertificateMissing>()(
  "PeerCertificateMissing",
  {},
  {
    ...refused,
    code: "PEER_CERTIFICATE_MISSING",
    title: "The connection shows no client certificate",
    explanation:
      "This endpoint knows a peer by its grant certificate alone, shown in the TLS handshake. A proxy that ends TLS keeps it from the gateway.",
    httpStatus: 401,
    message: () => `no client certificate came with the TLS handshake`,
    remediation: () =>
      `show the grant certificate and its key: curl --cacert root.crt --cert peer.crt --key peer.key URL/v1/whoami`
  }
) {}

export class PeerCertificateNotGrant extends ErrorClass<PeerCertificateNotGrant>()(
  "PeerCertificateNotGrant",
  { problem: Schema.String },
  {
    ...refused,
    code: "PEER_CERTIFICATE_NOT_A_GRANT",
    title: "The client certificate is no grant certificate",
    explanation:
      "It cannot be read, or has not the two grant extensions: it is a certificate for another purpose.",
    httpStatus: 401,
    message: ({ problem }) => problem,
    remediation: () =>
      `show the certificate that enroll wrote; what one says: mosaic federation cert inspect peer.crt`
  }
) {}

const serial = { serial: Schema.String } as const

export class PeerCertificateUnknown extends ErrorClass<PeerCertificateUnknown>()(
  "PeerCertificateUnknown",
  serial,
  {
    ...refused,
    code: "PEER_CERTIFICATE_UNKNOWN",
    title: "The client certificate is not on record",
    explanation:
      "No certificate of this serial and fingerprint was issued and recorded here. A certificate that the ledger does not know is worth nothing, whoever signed it.",
    httpStatus: 401,
    message: ({ serial }) => `certificate ${serial} was not issued and recorded by this gateway`,
    remediation: () => enrollAgain
  }
) {}

export class PeerCertificateUntrusted extends ErrorClass<PeerCertificateUntrusted>()(
  "PeerCertificateUntrusted",
  { ...serial, expected: Schema.String, found: Schema.String },
  {
    ...refused,
    code: "PEER_CERTIFICATE_UNTRUSTED",
    title: "The client certificate does not lead to a pinned root",
    explanation:
      "The chain that was recorded with the certificate does not lead to a root in STEP_CA_ROOT_CERT_PATH any more: the root was taken out, or a certificate of the chain has ended.",
    httpStatus: 401,
    message: ({ expected, found, serial }) => `certificate ${serial}: expected ${expected}, found ${found}`,
    remediation: () => enrollAgain
  }
) {}

export class PeerCertificateExpired extends ErrorClass<PeerCertificateExpired>()(
  "PeerCertificateExpired",
  { ...serial, notAfter: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "PEER_CERTIFICATE_EXPIRED",
    title: "The client certificate has expired",
    explanation:
      "The clock is past notAfter. There is no grace: an expired certificate is not renewed either.",
    httpStatus: 401,
    message: ({ notAfter, serial }) => `certificate ${serial} expired at ${DateTime.formatIso(notAfter)}`,
    remediation: () => enrollAgain
  }
) {}

export class PeerCertificateNotYetValid extends ErrorClass<PeerCertificateNotYetValid>()(
  "PeerCertificateNotYetValid",
  { ...serial, notBefore: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "PEER_CERTIFICATE_NOT_YET_VALID",
    title: "The client certificate is not valid yet",
    explanation: "The gateway's clock is before notBefore, although certificates are dated back by a minute.",
    httpStatus: 401,
    message: ({ notBefore, serial }) =>
      `certificate ${serial} is not valid before ${DateTime.formatIso(notBefore)}`,
    remediation: () => `compare the clocks of the CA and of the gateway: date -u`
  }
) {}

export class PeerCertificateRevoked extends ErrorClass<PeerCertificateRevoked>()(
  "PeerCertificateRevoked",
  { ...serial, revokedAt: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "PEER_CERTIFICATE_REVOKED",
    title: "The client certificate is revoked",
    explanation: "This certificate was revoked; other certificates of its grant may be good.",
    httpStatus: 403,
    message: ({ revokedAt, serial }) =>
      `certificate ${serial} was revoked at ${DateTime.formatIso(revokedAt)}`,
    remediation: () => enrollAgain
  }
) {}

export class RenewalTooSoon extends ErrorClass<RenewalTooSoon>()(
  "RenewalTooSoon",
  {
    ...serial,
    /** The certificate that took its place; null where it is itself too young. */
    renewedBy: Schema.NullOr(Schema.String),
    since: Schema.DateTimeUtcFromString,
    interval: Schema.DurationFromMillis,
    retryAt: Schema.DateTimeUtcFromString
  },
  {
    code: "RENEWAL_TOO_SOON",
    title: "This is a renewal loop: the certificate was issued or renewed a moment ago",
    explanation:
      "A certificate is renewed once in a minute at most (in a tenth of its life where that is shorter). A client that asks sooner does not use what it gets. A repeat with the same CSR is no loop and gets the same certificate.",
    httpStatus: 429,
    exitCode: ExitCode.refused,
    retryable: true,
    message: ({ interval, renewedBy, retryAt, serial, since }) =>
      renewedBy === null
        ? `renewal loop: certificate ${serial} was issued at ${DateTime.formatIso(since)} and is asked to be renewed within ${formatLifetime(interval)}; not before ${DateTime.formatIso(retryAt)}`
        : `renewal loop: certificate ${serial} was renewed by ${renewedBy} at ${DateTime.formatIso(since)} and is asked to be renewed again within ${formatLifetime(interval)}; not before ${DateTime.formatIso(retryAt)}`,
    remediation: ({ retryAt }) =>
      `make the client use its newest certificate and renew it at two thirds of the time between its receipt and its end, as mosaic federation agent does; next try at ${DateTime.formatIso(retryAt)}`
  }
) {}

export class RenewalProofInvalid extends ErrorClass<RenewalProofInvalid>()(
  "RenewalProofInvalid",
  { problem: Schema.String },
  {
    ...refused,
    code: "RENEWAL_PROOF_INVALID",
    title: "The proof of possession does not hold",
    explanation:
      "A renewal through a proxy carries a JWS (RFC 7515) of the certificate's key, with x5c, aud, iat, jti and the SHA-256 of the body. One of them is absent or not as it must be.",
    httpStatus: 401,
    message: ({ problem }) => problem,
    remediation: () =>
      `make one proof for each request, over its very body and URL, as mosaic federation agent does; docs/federation/peer.md has the form`
  }
) {}

export class RenewalProofStale extends ErrorClass<RenewalProofStale>()(
  "RenewalProofStale",
  { issuedAt: Schema.DateTimeUtcFromString, now: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "RENEWAL_PROOF_STALE",
    title: "The proof of possession is not of this minute",
    explanation: "The claim iat must be within 60 seconds of the gateway's clock.",
    httpStatus: 401,
    message: ({ issuedAt, now }) => {
      const seconds = Math.round(Duration.toSeconds(DateTime.distance(issuedAt, now)))
      return `iat ${DateTime.formatIso(issuedAt)} is ${Math.abs(seconds)} s ${seconds < 0 ? "after" : "before"} the gateway's clock, ${DateTime.formatIso(now)}`
    },
    remediation: () => `set this machine's clock (date -u) and try again with a new proof`
  }
) {}

export class RenewalProofReplayed extends ErrorClass<RenewalProofReplayed>()(
  "RenewalProofReplayed",
  { jti: Schema.String },
  {
    ...refused,
    code: "RENEWAL_PROOF_REPLAYED",
    title: "The proof of possession was shown before",
    explanation: "Each jti is taken once, so that nobody who reads a request can send it again.",
    httpStatus: 401,
    message: ({ jti }) => `jti ${jti} was taken before`,
    remediation: () => `try again with a new proof; if only one request was sent, somebody else repeats it`
  }
) {}

export const PeerError = Schema.Union([
  PeerCertificateMissing,
  PeerCertificateNotGrant,
  PeerCertificateUnknown,
  PeerCertificateUntrusted,
  PeerCertificateExpired,
  PeerCertificateNotYetValid,
  PeerCertificateRevoked,
  RenewalTooSoon,
  RenewalProofInvalid,
  RenewalProofStale,
  RenewalProofReplayed
])

export type PeerError = typeof PeerError.Type
