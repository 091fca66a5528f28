/** What is on record of a certificate, as commands show it. */
import type { CertificateDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import { timeLeft, utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime } from "effect"
import { table } from "./table.ts"

/** Whether it is revoked: at the CA as well, or here alone until the CA follows. */
export const revocationNotes = ({
  revocationOpenSince,
  revokedAtCa
}: Pick<CertificateDocument, "revocationOpenSince" | "revokedAtCa">): ReadonlyArray<string> => {
  if (revokedAtCa !== null) return [`revoked at the CA ${utc(DateTime.toDateUtc(revokedAtCa))}`]
  return revocationOpenSince === null
    ? []
    : [`revoked ${utc(DateTime.toDateUtc(revocationOpenSince))}, the CA has yet to follow`]
}

const notes = (record: CertificateDocument): ReadonlyArray<string> => [
  ...(record.errorCode === null ? [] : [record.errorCode]),
  ...revocationNotes(record)
]

export const recordLines = (record: CertificateDocument, now: DateTime.Utc): ReadonlyArray<string> => {
  const end = DateTime.toDateUtc(record.notAfter)
  return [
    `serial       ${record.serial}`,
    `state        ${[record.state, ...notes(record)].join(", ")}`,
    `grant        ${record.grantId}`,
    `acts for     user ${record.subjectUserId}`,
    `asked for    ${utc(DateTime.toDateUtc(record.requestedAt))}`,
    ...(record.requester === null ? [] : [`asked by     ${record.requester}, request ${record.requestId}`]),
    ...(record.notBefore === null ? [] : [`valid from   ${utc(DateTime.toDateUtc(record.notBefore))}`]),
    `valid to     ${utc(end)}  (${timeLeft(end, DateTime.toDateUtc(now))})`,
    ...(record.fingerprintSha256 === null ? [] : [`fingerprint  SHA-256 ${record.fingerprintSha256}`]),
    `CSR          SHA-256 ${record.csrSha256}`,
    ...(record.jti === null ? [] : [`jti          ${record.jti}`])
  ]
}

export const recordTable = (records: ReadonlyArray<CertificateDocument>): ReadonlyArray<string> =>
  table(
    ["SERIAL", "STATE", "GRANT", "VALID TO", "NOTE"],
    records.map((record) => [
      record.serial,
      record.state,
      record.grantId,
      utc(DateTime.toDateUtc(record.notAfter)),
      notes(record).join(", ")
    ])
  )
