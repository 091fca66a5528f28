/** Entries of the audit record as they are shown. */
import type { AuditEntry } from "@mosaic-federation/issuance/AuditChain"
import { table } from "./table.ts"

/** In the order of what is hashed, with the hash at the end. */
export const entryDocument = (entry: AuditEntry) => ({
  height: entry.height,
  record: entry.record,
  at: entry.at,
  action: entry.action,
  outcome: entry.outcome,
  requester: entry.requester,
  requestId: entry.requestId,
  grantId: entry.grantId,
  serial: entry.serial,
  subject: entry.subject,
  errorCode: entry.errorCode,
  detail: entry.detail,
  hash: entry.hash
})

export const entryTable = (entries: ReadonlyArray<AuditEntry>) =>
  table(
    ["HEIGHT", "AT", "WHO", "ACTION", "OUTCOME", "GRANT", "ABOUT"],
    entries.map((entry) => [
      String(entry.height),
      entry.at,
      entry.requester,
      entry.action,
      entry.errorCode === null ? entry.outcome : `${entry.outcome} ${entry.errorCode}`,
      entry.grantId ?? "-",
      [entry.serial, entry.subject, entry.detail].filter((part) => part !== null).join(" · ") || "-"
    ])
  )
