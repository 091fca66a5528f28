/** A certificate on the wire: on record, as `mosaic federation cert list --json` prints it, and as it is handed out. */
import { Schema } from "effect"
import { GrantId } from "../GrantId.ts"
import { CertificatePem } from "../IssuedCert.ts"
import { SerialNumber } from "../SerialNumber.ts"
import { UserId } from "../UserId.ts"
import { Instant } from "./GrantDocument.ts"

export const CertificateState = Schema.Literals(["intent", "issued", "refused", "withheld", "ambiguous"])

export const CertificateDocument = Schema.Struct({
  serial: SerialNumber,
  grantId: GrantId,
  subjectUserId: UserId,
  state: CertificateState,
  requestedAt: Instant,
  /** Null unless issued. */
  notBefore: Schema.NullOr(Instant),
  notAfter: Instant,
  /** Lower-case hex SHA-256 of the DER; null unless issued. */
  fingerprintSha256: Schema.NullOr(Schema.String),
  csrSha256: Schema.String,
  /** Who asked for it; null, like the two below, in a record of an earlier version. */
  requester: Schema.NullOr(Schema.String),
  /** By which request, as in the logs and the audit record. */
  requestId: Schema.NullOr(Schema.String),
  /** Of the one-time token that the CA was asked with, as in the CA's log; null too while the CA may yet take it. */
  jti: Schema.NullOr(Schema.String),
  errorCode: Schema.NullOr(Schema.String),
  revokedAtCa: Schema.NullOr(Instant),
  /** Since when it is revoked here while the CA has yet to follow; null where it has, or where nobody revoked it. */
  revocationOpenSince: Schema.NullOr(Instant)
}).annotate({ identifier: "CertificateRecord" })

export type CertificateDocument = typeof CertificateDocument.Type

/** How far the CA has followed with revocations; the open ones are tried until they are done. */
export const CaRevocations = Schema.Struct({
  done: Schema.Int,
  open: Schema.Int,
  /** The code of what stands in the way; null where nothing does, or a worker is at it this very moment. */
  because: Schema.NullOr(Schema.String)
})

export type CaRevocations = typeof CaRevocations.Type

export const CertificatePage = Schema.Struct({
  /** The newest first. */
  certificates: Schema.Array(CertificateDocument)
})

export const CertificateWithChain = Schema.Struct({
  ...CertificateDocument.fields,
  /** Leaf and chain in PEM; null unless issued. */
  fullChain: Schema.NullOr(Schema.String)
}).annotate({ identifier: "CertificateWithChain" })

export const CertificateRevocationDocument = Schema.Struct({
  ...CertificateDocument.fields,
  caRevocations: CaRevocations
}).annotate({ identifier: "CertificateRevocation" })

/** What is handed out: leaf and chain in PEM, the chain without leaf and root. */
export const IssuedDocument = Schema.Struct({
  serial: SerialNumber,
  grantId: GrantId,
  subjectUserId: UserId,
  peer: Schema.String,
  notBefore: Instant,
  notAfter: Instant,
  fingerprintSha256: Schema.String,
  certificate: CertificatePem,
  chain: Schema.Array(CertificatePem)
}).annotate({ identifier: "IssuedCertificate" })

export type IssuedDocument = typeof IssuedDocument.Type
