/** Writes intents, each in the one statement that looks for the grant and for the CSR's other certificates. */
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { Effect, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { SqlClient } from "effect/sql/SqlClient"
import { heldUntil } from "../TaskRepo.ts"
import { auditEach, auditedColumns, type AuditedRow } from "./auditOfGiven.ts"
import { overGivenRows } from "./givenRows.ts"
import { rowsOf } from "./rowsOf.ts"

/** An intent as it goes to the database, with what the audit record says of it. */
export interface IntentToRecord extends AuditedRow {
  readonly serial: string
  readonly grant_id: string
  readonly subject_user_id: string
  readonly csr_sha256: string
  readonly jti: string
  readonly requester: string
  readonly request_id: string
  readonly at: Date
  readonly not_after: Date
}

const Row = Schema.Struct({
  serial: SerialNumber,
  recorded: Schema.Boolean,
  granted: Schema.NullOr(GrantId),
  open: Schema.NullOr(SerialNumber),
  abandoned: Schema.NullOr(Schema.Boolean),
  again: Schema.NullOr(SerialNumber)
})

export type IntentFound = typeof Row.Type

/**
 * The grant, and what is known of a CSR, come from subqueries of their own for each intent, which the planner cannot merge:
 * a plan that is made while the tables are small, and kept, looks into the indexes all the same. The rows go in by CSR, so
 * that two runs that have two in common do not wait for each other crosswise.
 */
const text = (given: string) => `
  WITH given AS (
    SELECT * FROM ${given} AS g
  ), looked AS MATERIALIZED (
    SELECT g.*, f.id AS granted, k.attempts, k.open, k.abandoned, k.again
    FROM given g
    LEFT JOIN LATERAL (
      SELECT f.id, f.expires_at FROM federation_grants f
      WHERE f.id = g.grant_id AND f.status = 'active' AND f.expires_at > g.at AND f.expires_at >= g.not_after
      OFFSET 0
    ) f ON true
    LEFT JOIN LATERAL (
      SELECT max(c.attempt) AS attempts,
        max(c.serial) FILTER (WHERE c.state = 'intent') AS open,
        bool_or(c.held_until <= now()) FILTER (WHERE c.state = 'intent') AS abandoned,
        (array_agg(c.serial ORDER BY c.not_after DESC) FILTER (
          WHERE c.state = 'issued' AND c.revoked_at_ca IS NULL AND c.not_after <= f.expires_at
            AND c.not_after - g.at > (c.not_after - c.not_before) / 2
            AND c.not_after - date_trunc('second', c.requested_at) >= g.not_after - date_trunc('second', g.at)
            AND NOT EXISTS (
              SELECT FROM federation_tasks t
              WHERE t.kind = 'revoke-at-ca' AND t.subject = c.serial AND t.state = 'open'
            )
        ))[1] AS again
      FROM federation_certificates c
      WHERE c.csr_sha256 = g.csr_sha256 AND c.grant_id IS NOT DISTINCT FROM g.grant_id
    ) k ON true
  ), recorded AS (
    INSERT INTO federation_certificates (serial, grant_id, subject_user_id, csr_sha256, state, jti, requester,
      request_id, requested_at, not_after, held_until, attempt)
    SELECT serial, grant_id, subject_user_id, csr_sha256, 'intent', jti, requester, request_id, at, not_after,
      ${heldUntil}, coalesce(attempts, 0) + 1
    FROM looked WHERE granted IS NOT NULL AND again IS NULL AND open IS NULL
    ORDER BY csr_sha256, grant_id
    ON CONFLICT (csr_sha256, grant_id, attempt) DO NOTHING
    RETURNING serial
  ), answered AS (
    SELECT l.*, r.serial IS NOT NULL AS recorded FROM looked l LEFT JOIN recorded r ON r.serial = l.serial
  ), audited AS (${auditEach("answered WHERE recorded OR granted IS NOT NULL AND again IS NOT NULL", {
    outcome: "CASE WHEN recorded THEN 'intent' ELSE 'repeated' END",
    serial: "CASE WHEN recorded THEN serial ELSE again END",
    errorCode: "NULL"
  })}
  )
  SELECT serial, recorded, granted, open, abandoned, again FROM answered`

/** In the order of the intents. A serial that was used before fails them all. */
export const recordIntentsOn = (sql: SqlClient) => {
  const statement = overGivenRows<IntentToRecord>(
    sql,
    {
      serial: "text",
      grant_id: "uuid",
      subject_user_id: "uuid",
      csr_sha256: "text",
      jti: "text",
      requester: "text",
      request_id: "text",
      at: "timestamptz",
      not_after: "timestamptz",
      ...auditedColumns
    },
    text
  )
  return (intents: NonEmptyReadonlyArray<IntentToRecord>) =>
    Effect.map(rowsOf("record the intent to issue", Row, statement(intents)), (rows) => {
      const bySerial = new Map(rows.map((row) => [row.serial as string, row]))
      return intents.map(({ serial }) => bySerial.get(serial))
    })
}
