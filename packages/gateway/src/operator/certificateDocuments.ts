/** Certificates as the contract shows them: of the ledger's record, and of what was just issued. */
import type { CertificateDocument, IssuedDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import type { Grant } from "@mosaic-federation/domain/Grant"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import type { CertificateRecord } from "@mosaic-federation/issuance/GrantRepo"
import { hash } from "node:crypto"

/** RFC 7468 §2: what stands between the lines of dashes is the DER in base64. */
const fingerprintOf = (pem: string) =>
  hash("sha256", Buffer.from(pem.split("-----")[2] ?? "", "base64"), "hex")

export const recordDocument = (record: CertificateRecord): CertificateDocument => ({
  serial: record.serial,
  grantId: record.grantId,
  subjectUserId: record.subjectUserId,
  state: record.state,
  requestedAt: record.requestedAt,
  notBefore: record.notBefore,
  notAfter: record.notAfter,
  fingerprintSha256: record.fingerprintSha256,
  csrSha256: record.csrSha256,
  requester: record.requester,
  requestId: record.requestId,
  // step-ca burns a token by its jti alone: whoever may read could spoil one that is still to come.
  jti: record.state === "intent" ? null : record.jti,
  errorCode: record.errorCode,
  revokedAtCa: record.revokedAtCa,
  revocationOpenSince: record.revocationOpenSince
})

export const issuedDocument = (issued: IssuedCert, grant: Grant): IssuedDocument => ({
  serial: issued.serial,
  grantId: grant.id,
  subjectUserId: grant.subjectUserId,
  peer: grant.peer,
  notBefore: issued.notBefore,
  notAfter: issued.notAfter,
  fingerprintSha256: fingerprintOf(issued.certificate),
  certificate: issued.certificate,
  chain: issued.chain
})
