/**
 * What may become of a grant while it lasts: suspended and resumed, given another end, ended together with all others of
 * its holder. Ending a single one is `GrantRepo`; who may do what is left to the callers.
 */
import { type Grant } from "@mosaic-federation/domain/Grant"
import { GrantExpired, GrantNotFound, GrantRevoked } from "@mosaic-federation/domain/GrantErrors"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import type { UserId } from "@mosaic-federation/domain/UserId"
import { Context, DateTime, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { type AuditAction, auditBy, refusingOn } from "./AuditRecord.ts"
import { GrantRow, toGrant } from "./GrantRepo.ts"
import { NullableDate } from "./internal/nullableDate.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { transactionOn } from "./internal/transactionOn.ts"
import { revokeUnlessDead, TaskId } from "./TaskRepo.ts"

export type ChangeRefusal = GrantNotFound | GrantRevoked | GrantExpired | StorageError

export type Holder =
  | { readonly _tag: "Peer"; readonly peer: string }
  | { readonly _tag: "User"; readonly user: UserId }

/** What ending one grant does, or would do. */
export interface EndedGrant {
  readonly grant: Grant
  readonly liveCertificates: number
  readonly lastNotAfter: DateTime.Utc | null
}

const TaskRow = Schema.Struct({ id: TaskId })

const LiveRow = Schema.Struct({
  ...GrantRow.fields,
  live: Schema.Int,
  last_not_after: NullableDate
})

export class GrantChanges extends Context.Service<
  GrantChanges,
  {
    /** Of a grant that is suspended already, nothing changes. */
    readonly suspend: (id: GrantId) => Effect.Effect<Grant, ChangeRefusal>
    readonly resume: (id: GrantId) => Effect.Effect<Grant, ChangeRefusal>
    /** `allow` sees the grant as it is, under a lock, and may refuse. */
    readonly changeExpiry: <E>(
      id: GrantId,
      expiresAt: DateTime.Utc,
      allow: (grant: Grant) => Effect.Effect<void, E>
    ) => Effect.Effect<Grant, E | ChangeRefusal>
    /** Ends every grant of the holder that has not ended, in one transaction; `dryRun` tells what it would do. */
    readonly revokeHolder: (
      holder: Holder,
      reason: string,
      dryRun: boolean
    ) => Effect.Effect<
      { readonly ended: ReadonlyArray<EndedGrant>; readonly caRevocations: ReadonlyArray<TaskId> },
      StorageError
    >
  }
>()("@mosaic-federation/issuance/GrantChanges") {
  static readonly layerNoDeps = Layer.effect(
    GrantChanges,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const inTransaction = transactionOn(sql)
      const refusing = refusingOn(sql)

      /** The grant under a lock, unless it is over. */
      const lock = Effect.fnUntraced(function* (operation: string, id: GrantId, now: DateTime.Utc) {
        const [row] = yield* rowsOf(
          operation,
          GrantRow,
          sql`SELECT * FROM federation_grants WHERE id = ${id} FOR NO KEY UPDATE`
        )
        if (row === undefined) return yield* new GrantNotFound({ grantId: id })
        const grant = toGrant(row)
        const { expiresAt, revocationReason, revokedAt } = grant
        switch (grant.statusAt(now)) {
          case "revoked":
            return yield* new GrantRevoked({
              grantId: id,
              revokedAt: revokedAt ?? now,
              reason: revocationReason ?? "no reason given"
            })
          case "expired":
            return yield* new GrantExpired({ grantId: id, expiresAt })
          case "active":
          case "suspended":
            return grant
        }
      })

      const returned = (rows: ReadonlyArray<typeof GrantRow.Type>, fallback: Grant) =>
        rows[0] === undefined ? fallback : toGrant(rows[0])

      const setStatus = (operation: string, action: AuditAction, status: "active" | "suspended") =>
        Effect.fnUntraced(
          function* (id: GrantId) {
            const audit = yield* auditBy(sql)
            const change = Effect.gen(function* () {
              const now = yield* DateTime.now
              const grant = yield* lock(operation, id, now)
              const outcome = grant.storedStatus === status ? "unchanged" : "done"
              const update = sql`
                WITH changed AS (UPDATE federation_grants SET status = ${status} WHERE id = ${id} RETURNING *),
                audited AS (${audit(DateTime.toDateUtc(now), { action, outcome, grantId: id }, sql`changed`)})
                SELECT * FROM changed`
              return returned(yield* rowsOf(operation, GrantRow, update), grant)
            })
            return yield* refusing({ action, grantId: id }, inTransaction(operation, change))
          },
          Effect.withSpan(`GrantChanges.${status === "active" ? "resume" : "suspend"}`)
        )

      const changeExpiry = Effect.fn("GrantChanges.changeExpiry")(function* <E>(
        id: GrantId,
        expiresAt: DateTime.Utc,
        allow: (grant: Grant) => Effect.Effect<void, E>
      ) {
        const operation = "change the end of a grant"
        const audit = yield* auditBy(sql)
        const asked = {
          action: "grant.change-expiry",
          grantId: id,
          detail: `until ${DateTime.formatIso(expiresAt)}`
        } as const
        const change = Effect.gen(function* () {
          const now = yield* DateTime.now
          const grant = yield* lock(operation, id, now)
          yield* allow(grant)
          const update = sql`
            WITH changed AS (
              UPDATE federation_grants SET expires_at = ${DateTime.toDateUtc(expiresAt)}
              WHERE id = ${id} RETURNING *
            ), audited AS (${audit(DateTime.toDateUtc(now), { ...asked, outcome: "done" }, sql`changed`)})
            SELECT * FROM changed`
          return returned(yield* rowsOf(operation, GrantRow, update), grant)
        })
        return yield* refusing(asked, inTransaction(operation, change))
      })

      const revokeHolder = Effect.fn("GrantChanges.revokeHolder")(function* (
        holder: Holder,
        reason: string,
        dryRun: boolean
      ) {
        const operation = "revoke the grants of a holder"
        const at = DateTime.toDateUtc(yield* DateTime.now)
        const isHolder =
          holder._tag === "Peer" ? sql`g.peer = ${holder.peer}` : sql`g.subject_user_id = ${holder.user}`
        const audit = yield* auditBy(sql)
        const change = Effect.gen(function* () {
          // Locked first, so that the count, a statement with a view of its own, has what was being recorded.
          const locked = yield* rowsOf(
            operation,
            GrantRow,
            sql`
              SELECT * FROM federation_grants g
              WHERE ${isHolder} AND g.status <> 'revoked' AND g.expires_at > ${at}
              ORDER BY g.id FOR NO KEY UPDATE`
          )
          const ids = locked.map(({ id }) => id)
          const isAmongThem = sql`g.id = ANY(${ids}::uuid[])`
          if (!dryRun) {
            const ended = {
              action: "grant.revoke",
              outcome: "done",
              grantId: sql`ended.id`,
              detail: reason
            } as const
            yield* rowsOf(
              operation,
              GrantRow,
              sql`
                WITH ended AS (
                  UPDATE federation_grants g
                  SET status = 'revoked', revoked_at = ${at}, revocation_reason = ${reason}
                  WHERE ${isAmongThem} RETURNING *
                ), audited AS (${audit(at, ended, sql`ended`)})
                SELECT * FROM ended`
            )
            yield* audit(at, {
              action: "holder.revoke",
              outcome: ids.length > 0 ? "done" : "unchanged",
              subject: holder._tag === "Peer" ? `peer ${holder.peer}` : `user ${holder.user}`,
              detail: `${ids.length} grants: ${reason}`
            })
          }
          const rows = yield* rowsOf(
            operation,
            LiveRow,
            sql`
              SELECT g.*, count(c.serial)::int AS live, max(c.not_after) AS last_not_after
              FROM federation_grants g LEFT JOIN federation_certificates c
                ON c.grant_id = g.id AND c.state = 'issued' AND c.not_after > ${at}
              WHERE ${isAmongThem} GROUP BY g.id ORDER BY g.created_at DESC, g.id DESC`
          )
          const ended = rows.map((row): EndedGrant => ({
            grant: toGrant(row),
            liveCertificates: row.live,
            lastNotAfter: row.last_not_after
          }))
          if (dryRun) return { ended, caRevocations: [] }
          const tasks = yield* rowsOf(
            operation,
            TaskRow,
            revokeUnlessDead(sql, sql`c.grant_id = ANY(${ids}::uuid[])`, `grant revoked: ${reason}`, at)
          )
          return { ended, caRevocations: tasks.map(({ id }) => id) }
        })
        return yield* inTransaction(operation, change)
      })

      return GrantChanges.of({
        suspend: setStatus("suspend a grant", "grant.suspend", "suspended"),
        resume: setStatus("resume a grant", "grant.resume", "active"),
        changeExpiry,
        revokeHolder
      })
    })
  )
}
