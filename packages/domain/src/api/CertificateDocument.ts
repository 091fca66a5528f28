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
  errorCode: Schema.NullOr(Schema.String),
  revokedAtCa: Schema.NullOr(Instant)
}).annotate({ identifier: "CertificateRecord" })

export type CertificateDocument = typeof CertificateDocument.Type

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
