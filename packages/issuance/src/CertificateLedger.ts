/** The ledger of certificates as operators look through it, and the revocation of a single one. */
import { CertificateNotFound } from "@mosaic-federation/domain/CommandErrors"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import type { UserId } from "@mosaic-federation/domain/UserId"
import { Context, DateTime, type Duration, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { auditBy } from "./AuditRecord.ts"
import {
  certificateColumns,
  type CertificateRecord,
  CertificateRow,
  toCertificateRecord
} from "./GrantRepo.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { transactionOn } from "./internal/transactionOn.ts"
import { TaskId } from "./TaskRepo.ts"

export interface LedgerFilter {
  readonly grantId?: GrantId
  readonly peer?: string
  readonly subjectUserId?: UserId
  readonly state?: CertificateRecord["state"]
  /** Only those that may be alive and end within this time: issued or ambiguous, not revoked at the CA, not over. */
  readonly expiring?: Duration.Duration
  /** At most this many, newest first; 100 by default. */
  readonly limit?: number
}

const standardLimit = 100

/** Of the certificates that somebody may use: handed out, not over, not revoked, under a grant that is not revoked. */
export interface Census {
  readonly live: number
  readonly expiring: number
}

const CensusRow = Schema.Struct({ live: Schema.Int, expiring: Schema.Int })

const TaskRow = Schema.Struct({ id: TaskId })

const GrantOfRow = Schema.Struct({ grant_id: GrantId })

export class CertificateLedger extends Context.Service<
  CertificateLedger,
  {
    readonly list: (filter: LedgerFilter) => Effect.Effect<ReadonlyArray<CertificateRecord>, StorageError>
    /** `expiring` counts those that end within `soon`. */
    readonly census: (soon: Duration.Duration) => Effect.Effect<Census, StorageError>
    /** Writes the task that has the CA revoke it, unless that is done, open already or no longer of use. */
    readonly revoke: (
      serial: SerialNumber,
      reason: string
    ) => Effect.Effect<ReadonlyArray<TaskId>, CertificateNotFound | StorageError>
  }
>()("@mosaic-federation/issuance/CertificateLedger") {
  static readonly layerNoDeps = Layer.effect(
    CertificateLedger,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const inTransaction = transactionOn(sql)

      const list = Effect.fn("CertificateLedger.list")(function* (filter: LedgerFilter) {
        const now = yield* DateTime.now
        const { expiring, grantId, peer, state, subjectUserId } = filter
        const until = expiring === undefined ? undefined : DateTime.addDuration(now, expiring)
        const rows = yield* rowsOf(
          "list certificates",
          CertificateRow,
          sql`
            SELECT ${sql.literal(certificateColumns)}
            FROM federation_certificates c JOIN federation_grants g ON g.id = c.grant_id
            WHERE ${sql.and([
              ...(grantId === undefined ? [] : [sql`c.grant_id = ${grantId}`]),
              ...(peer === undefined ? [] : [sql`g.peer = ${peer}`]),
              ...(subjectUserId === undefined ? [] : [sql`c.subject_user_id = ${subjectUserId}`]),
              ...(state === undefined ? [] : [sql`c.state = ${state}`]),
              ...(until === undefined
                ? []
                : [
                    sql`c.state IN ('issued', 'ambiguous') AND c.revoked_at_ca IS NULL
                      AND c.not_after > ${DateTime.toDateUtc(now)}
                      AND c.not_after <= ${DateTime.toDateUtc(until)}`
                  ])
            ])}
            ORDER BY c.requested_at DESC, c.serial DESC
            LIMIT ${filter.limit ?? standardLimit}`
        )
        return rows.map(toCertificateRecord)
      })

      const census = Effect.fn("CertificateLedger.census")(function* (soon: Duration.Duration) {
        const now = yield* DateTime.now
        const until = DateTime.toDateUtc(DateTime.addDuration(now, soon))
        const [row] = yield* rowsOf(
          "count the certificates that live",
          CensusRow,
          sql`
            SELECT count(*)::int AS live, (count(*) FILTER (WHERE c.not_after <= ${until}))::int AS expiring
            FROM federation_certificates c JOIN federation_grants g ON g.id = c.grant_id
            WHERE c.state = 'issued' AND c.not_after > ${DateTime.toDateUtc(now)}
              AND c.revoked_at_ca IS NULL AND g.status <> 'revoked'`
        )
        return row ?? { live: 0, expiring: 0 }
      })

      const revoke = Effect.fn("CertificateLedger.revoke")(function* (serial: SerialNumber, reason: string) {
        const operation = "revoke a certificate"
        const at = DateTime.toDateUtc(yield* DateTime.now)
        const audit = yield* auditBy(sql)
        const write = Effect.gen(function* () {
          const [found] = yield* rowsOf(
            operation,
            GrantOfRow,
            sql`SELECT grant_id FROM federation_certificates WHERE serial = ${serial} FOR UPDATE`
          )
          if (found === undefined) return yield* new CertificateNotFound({ serial })
          const written = yield* rowsOf(
            operation,
            TaskRow,
            sql`
              INSERT INTO federation_tasks (kind, subject, payload)
              SELECT 'revoke-at-ca', c.serial, jsonb_build_object('serial', c.serial, 'reason', ${reason}::text)
              FROM federation_certificates c
              WHERE c.serial = ${serial} AND c.state IN ('issued', 'withheld', 'ambiguous')
                AND c.revoked_at_ca IS NULL AND c.not_after > ${at}
              ON CONFLICT (kind, subject) WHERE state = 'open' DO NOTHING
              RETURNING id`
          )
          yield* audit(at, {
            action: "certificate.revoke",
            outcome: written.length > 0 ? "done" : "unchanged",
            grantId: found.grant_id,
            serial,
            detail: reason
          })
          const open = yield* rowsOf(
            operation,
            TaskRow,
            sql`
              SELECT id FROM federation_tasks
              WHERE kind = 'revoke-at-ca' AND subject = ${serial} AND state = 'open'`
          )
          return open.map(({ id }) => id)
        })
        return yield* inTransaction(operation, write)
      })

      return CertificateLedger.of({ list, census, revoke })
    })
  )
}
