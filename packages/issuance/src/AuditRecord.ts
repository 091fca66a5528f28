/**
 * What goes into the audit record, and how: as part of the statement, or at least of the transaction, that does what is
 * recorded. A record says who decided what, of which grant and certificate, and with which outcome; never a secret.
 */
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { ExitCode } from "@mosaic-federation/domain/ExitCode"
import { isMosaicError, type MosaicError } from "@mosaic-federation/domain/MosaicError"
import { DateTime, Effect } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import { type Fragment, isFragment } from "effect/sql/Statement"
import { type CertificateOrigin, CurrentOrigin } from "./CurrentOrigin.ts"
import { storageError } from "./internal/storageError.ts"

export type AuditAction =
  | "grant.create"
  | "grant.suspend"
  | "grant.resume"
  | "grant.change-expiry"
  | "grant.revoke"
  | "holder.revoke"
  | "token.create"
  | "token.revoke"
  | "token.redeem"
  | "certificate.issue"
  | "certificate.enroll"
  | "certificate.renew"
  | "certificate.revoke"
  | "certificate.revoke-at-ca"
  | "api-key.create"
  | "api-key.rotate"
  | "api-key.revoke"
  | "db.prune"
  | "operator.request"

/** A value, or a column of what the record is made from. */
type Column = string | Fragment | null

export interface AuditEvent {
  readonly action: AuditAction
  /** `done`, `unchanged` or `refused`; of a certificate its new state; of a revocation at the CA `confirmed`; of a prune `begun`. */
  readonly outcome: string | Fragment
  readonly grantId?: Column
  readonly serial?: Column
  /** What else it is about: the id of a token or of an API key, a serial that is renewed, a method and path. */
  readonly subject?: Column
  readonly errorCode?: Column
  readonly detail?: Column
}

/** What `certificate` event an issuance is, and what beside the grant it is about. */
const issuanceEvent = (
  origin: CertificateOrigin
): { readonly action: AuditAction; readonly subject: string | null } => {
  switch (origin._tag) {
    case "Operator":
      return { action: "certificate.issue", subject: null }
    case "Enrollment":
      return { action: "certificate.enroll", subject: origin.tokenId }
    case "Renewal":
      return { action: "certificate.renew", subject: origin.renewedSerial }
  }
}

export const currentIssuance = CurrentOrigin.useSync(issuanceEvent)

/**
 * Makes the statement that records an event, once for each row of `from`: for a `WITH` beside the change itself, which
 * costs no round trip. Without `from`, one record.
 */
export const auditBy = (sql: SqlClient) =>
  Effect.map(CurrentRequest, ({ requestId, requester }) => (at: Date, event: AuditEvent, from?: Fragment) => {
    const text = (column: Column | undefined) => (isFragment(column) ? column : sql`${column ?? null}::text`)
    const grantId = event.grantId ?? null
    return sql`
      INSERT INTO federation_audit
        (at, action, outcome, requester, request_id, grant_id, serial, subject, error_code, detail)
      SELECT ${at}::timestamptz, ${event.action}::text, ${text(event.outcome)}, ${requester}::text, ${requestId}::text,
        ${isFragment(grantId) ? grantId : sql`${grantId}::uuid`}, ${text(event.serial)}, ${text(event.subject)},
        ${text(event.errorCode)}, ${text(event.detail)}
      ${from === undefined ? sql`` : sql`FROM ${from}`}`
  })

/** What an error refuses was decided here; an outage decides nothing. */
export const isRefusal = (error: unknown): error is MosaicError =>
  isMosaicError(error) && (error.exitCode === ExitCode.refused || error.exitCode === ExitCode.usage)

export type AskedFor = Omit<AuditEvent, "outcome" | "errorCode">

/** Records a refusal by its code. A record that cannot be written is told to the log, and the refusal stands. */
export const refusedOn = (sql: SqlClient) =>
  Effect.fnUntraced(
    function* (event: AskedFor, refusal: string) {
      const audit = yield* auditBy(sql)
      const at = DateTime.toDateUtc(yield* DateTime.now)
      yield* audit(at, { ...event, outcome: "refused", errorCode: refusal })
    },
    Effect.mapError(storageError("record a refusal")),
    (noted, { action }, refusal) =>
      Effect.matchEffect(noted, {
        onSuccess: () => Effect.void,
        onFailure: ({ code, message: why }) =>
          Effect.logError("a refusal is not on the audit record", { action, refusal, code, why })
      })
  )

/** Records the refusals of an effect: they change nothing that a record could be committed with. */
export const refusingOn = (sql: SqlClient) => {
  const refused = refusedOn(sql)
  return <A, E, R>(
    event: AskedFor,
    effect: Effect.Effect<A, E, R>,
    unless: (error: MosaicError) => boolean = () => false
  ): Effect.Effect<A, E, R> =>
    Effect.tapError(effect, (error) =>
      isRefusal(error) && !unless(error) ? refused(event, error.code) : Effect.void
    )
}
