/** Gives intents their certificates, each in the one statement that holds its grant's row until the commit. */
import { GrantStatus } from "@mosaic-federation/domain/Grant"
import { GrantEndedInFlight } from "@mosaic-federation/domain/GrantErrors"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { Effect, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { SqlClient } from "effect/sql/SqlClient"
import { auditEach, auditedColumns, type AuditedRow } from "./auditOfGiven.ts"
import { overGivenRows } from "./givenRows.ts"
import { rowsOf } from "./rowsOf.ts"

/** A certificate as it goes to the database, with what the audit record says of it. */
export interface CertificateToRecord extends AuditedRow {
  readonly serial: string
  readonly at: Date
  readonly not_before: Date
  readonly not_after: Date
  readonly fingerprint_sha256: string
  readonly full_chain_pem: string
}

/** `status` is the grant's at that moment; the certificate was recorded as issued if it is `active`, else as withheld. */
const Row = Schema.Struct({ serial: SerialNumber, status: GrantStatus })

export type CertificateSettled = typeof Row.Type

/**
 * FOR SHARE waits for a revocation that is under way and then reads the row as that left it (READ COMMITTED re-evaluates a
 * locked row), while issuances of one grant do not wait for each other; a revocation that comes later waits for this one.
 * SKIP LOCKED leaves out what somebody else has locked. Each row is looked for by its own key alone, in a subquery that
 * the planner cannot merge: a plan that is made while a table is small, and kept, would read all of it, and one with the
 * state beside the key would go through the index of intents, where those that ended stay for a while.
 */
const textWith = (locked: "" | "SKIP LOCKED") => (given: string) =>
  `
  WITH given AS (
    SELECT * FROM ${given} AS g
  ), known AS MATERIALIZED (
    SELECT k.* FROM given g CROSS JOIN LATERAL (
      SELECT c.serial, c.grant_id, c.state, c.not_after FROM federation_certificates c
      WHERE c.serial = g.serial FOR UPDATE ${locked}
    ) k
  ), held AS MATERIALIZED (
    SELECT h.* FROM (SELECT DISTINCT grant_id FROM known WHERE state = 'intent') k CROSS JOIN LATERAL (
      SELECT f.id, f.status, f.expires_at FROM federation_grants f WHERE f.id = k.grant_id FOR SHARE ${locked}
    ) h
  ), settled AS (
    UPDATE federation_certificates c SET
      state = CASE WHEN o.status = 'active' THEN 'issued' ELSE 'withheld' END,
      not_before = CASE WHEN o.status = 'active' THEN o.not_before END,
      not_after = o.not_after,
      fingerprint_sha256 = CASE WHEN o.status = 'active' THEN o.fingerprint_sha256 END,
      full_chain_pem = CASE WHEN o.status = 'active' THEN o.full_chain_pem END,
      error_code = CASE WHEN o.status = 'active' THEN NULL ELSE '${GrantEndedInFlight.code}' END,
      settled_at = o.at
    FROM (
      SELECT g.*, CASE WHEN h.status <> 'revoked' AND h.expires_at <= g.at THEN 'expired' ELSE h.status END AS status
      FROM given g
      JOIN known k ON k.serial = g.serial AND k.state = 'intent' AND k.not_after >= g.not_after
      JOIN held h ON h.id = k.grant_id AND h.expires_at >= g.not_after
    ) o
    WHERE c.serial = o.serial
    RETURNING c.serial, c.state, c.error_code, c.grant_id, o.status, o.at, o.audit_requester, o.audit_request_id,
      o.action, o.subject
  ), audited AS (${auditEach("settled", { outcome: "state", serial: "serial", errorCode: "error_code" })}
  )
  SELECT serial, status FROM settled`

const columns = {
  serial: "text",
  at: "timestamptz",
  not_before: "timestamptz",
  not_after: "timestamptz",
  fingerprint_sha256: "text",
  full_chain_pem: "text",
  ...auditedColumns
} as const

/**
 * In the order of the certificates; undefined where no intent and grant allow it, where another certificate of its serial
 * came first or, with `skip`, where a row is locked.
 */
export const recordCertificatesOn = (sql: SqlClient, whatIsLocked: "wait" | "skip") => {
  const locked = whatIsLocked === "skip" ? "SKIP LOCKED" : ""
  const statement = overGivenRows<CertificateToRecord>(sql, columns, textWith(locked))
  return ([first, ...others]: NonEmptyReadonlyArray<CertificateToRecord>) => {
    const bySerial = new Map([[first.serial, first]])
    for (const other of others) if (!bySerial.has(other.serial)) bySerial.set(other.serial, other)
    const [, ...more] = bySerial.values()
    return Effect.map(rowsOf("record the certificate", Row, statement([first, ...more])), (rows) => {
      const settled = new Map(rows.map((row) => [row.serial as string, row]))
      return [first, ...others].map((one) =>
        bySerial.get(one.serial) === one ? settled.get(one.serial) : undefined
      )
    })
  }
}
