/** Certificates as the contract shows them: of the ledger's record, and of what was just issued. */
import type { CertificateDocument, IssuedDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import type { Grant } from "@mosaic-federation/domain/Grant"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import type { CertificateRecord } from "@mosaic-federation/issuance/GrantRepo"
import { X509Certificate } from "node:crypto"

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
  errorCode: record.errorCode,
  revokedAtCa: record.revokedAtCa
})

export const issuedDocument = (issued: IssuedCert, grant: Grant): IssuedDocument => ({
  serial: issued.serial,
  grantId: grant.id,
  subjectUserId: grant.subjectUserId,
  peer: grant.peer,
  notBefore: issued.notBefore,
  notAfter: issued.notAfter,
  fingerprintSha256: new X509Certificate(issued.certificate).fingerprint256.replaceAll(":", "").toLowerCase(),
  certificate: issued.certificate,
  chain: issued.chain
})
