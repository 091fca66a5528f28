/** The one statement that uses an enrollment token up, with its audit record. */
import type { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { DateTime, Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import { auditBy } from "../AuditRecord.ts"
import { rowsOf } from "./rowsOf.ts"

export const useUpOperation = "use up an enrollment token"

export interface TokenUse {
  readonly tokenId: EnrollmentTokenId
  readonly serial: SerialNumber
  /** Address and request of whoever redeemed it. */
  readonly from: string
  readonly requestId: string
}

const IdRow = Schema.Struct({ id: Schema.String })

/** Whether it was; `when` says more of the token, in the statement `t`, than which it is. */
export const useUpToken = Effect.fnUntraced(function* (
  sql: SqlClient,
  { from, requestId, serial, tokenId }: TokenUse,
  when: Fragment
) {
  const at = DateTime.toDateUtc(yield* DateTime.now)
  const audit = yield* auditBy(sql)
  const event = {
    action: "token.redeem",
    outcome: "done",
    grantId: sql`used.grant_id`,
    serial,
    subject: tokenId,
    detail: `from ${from}`
  } as const
  const used = yield* rowsOf(
    useUpOperation,
    IdRow,
    sql`
      WITH used AS (
        UPDATE federation_enrollment_tokens t SET claim = NULL, claimed_until = NULL,
          used_serial = ${serial}, used_at = ${at}, used_from = ${from}, used_by_request = ${requestId}
        WHERE t.id = ${tokenId} AND ${when}
        RETURNING t.id, t.grant_id
      ), audited AS (${audit(at, event, sql`used`)})
      SELECT id FROM used`
  )
  return used.length > 0
})
