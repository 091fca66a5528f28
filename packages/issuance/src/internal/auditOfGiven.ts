/** The audit record of issuances that go to the database as given rows: each row says who asks, and on whose behalf. */
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { Effect } from "effect"
import { currentIssuance } from "../AuditRecord.ts"

export interface AuditedRow {
  readonly audit_requester: string
  readonly audit_request_id: string
  readonly action: string
  /** Empty where there is none. */
  readonly subject: string
}

export const auditedColumns = {
  audit_requester: "text",
  audit_request_id: "text",
  action: "text",
  subject: "text"
} as const

export const currentAuditedRow: Effect.Effect<AuditedRow> = CurrentRequest.use(({ requestId, requester }) =>
  Effect.map(currentIssuance, ({ action, subject }) => ({
    audit_requester: requester,
    audit_request_id: requestId,
    action,
    subject: subject ?? ""
  }))
)

/** For a `WITH`: one record for each row of `from`, which has `at` and `grant_id` beside; the rest are its expressions. */
export const auditEach = (
  from: string,
  {
    errorCode,
    outcome,
    serial
  }: { readonly outcome: string; readonly serial: string; readonly errorCode: string }
) => `
  INSERT INTO federation_audit
    (at, action, outcome, requester, request_id, grant_id, serial, subject, error_code)
  SELECT at, action, ${outcome}, audit_requester, audit_request_id, grant_id, ${serial}, nullif(subject, ''), ${errorCode}
  FROM ${from}`
