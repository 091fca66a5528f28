/** What is on record of a certificate, as commands show it. */
import type { CertificateRecord } from "@mosaic-federation/issuance/GrantRepo"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime } from "effect"
import { table } from "./table.ts"

const iso = (instant: DateTime.Utc | null) => (instant === null ? null : DateTime.formatIso(instant))

export const recordDocument = (record: CertificateRecord) => ({
  serial: record.serial,
  grantId: record.grantId,
  subjectUserId: record.subjectUserId,
  state: record.state,
  requestedAt: iso(record.requestedAt),
  notBefore: iso(record.notBefore),
  notAfter: iso(record.notAfter),
  fingerprintSha256: record.fingerprintSha256,
  csrSha256: record.csrSha256,
  errorCode: record.errorCode,
  revokedAtCa: iso(record.revokedAtCa)
})

export const recordTable = (records: ReadonlyArray<CertificateRecord>): ReadonlyArray<string> =>
  table(
    ["SERIAL", "STATE", "GRANT", "VALID TO", "NOTE"],
    records.map((record) => [
      record.serial,
      record.state,
      record.grantId,
      utc(DateTime.toDateUtc(record.notAfter)),
      [
        ...(record.errorCode === null ? [] : [record.errorCode]),
        ...(record.revokedAtCa === null
          ? []
          : [`revoked at the CA ${utc(DateTime.toDateUtc(record.revokedAtCa))}`])
      ].join(", ")
    ])
  )
