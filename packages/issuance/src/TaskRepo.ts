/**
 * The tasks: rows of `federation_tasks`, each written in the transaction that causes it. Tells which are due, lends one
 * to one worker for a limited time, and records what came of it together with the effect. Who works, when, and how
 * workers hear of a task is left to the gateway; time is the database server's, so that all workers share one clock.
 */
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { type StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Context, DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import { auditBy } from "./AuditRecord.ts"
import * as Database from "./Database.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { transactionOn } from "./internal/transactionOn.ts"

export const TaskId = Schema.String.check(Schema.isUUID()).pipe(Schema.brand("TaskId"))

export type TaskId = typeof TaskId.Type

/** A process that takes tasks; a fresh UUID for each start. */
export const WorkerId = Schema.String.check(Schema.isUUID()).pipe(Schema.brand("WorkerId"))

export type WorkerId = typeof WorkerId.Type

const lent = { id: TaskId, attempts: Schema.Int, locked_by: WorkerId } as const

/** Kinds that a later version adds are not in this union, and are left to its workers. */
const TaskRow = Schema.Union([
  Schema.Struct({
    ...lent,
    kind: Schema.Literal("revoke-at-ca"),
    payload: Schema.Struct({ serial: SerialNumber, reason: Schema.String })
  }),
  Schema.Struct({ ...lent, kind: Schema.Literal("expire-sweep"), payload: Schema.Struct({}) })
])

/** A task that is lent to a worker. `attempts` counts this one. */
export type Task = typeof TaskRow.Type

export type RevokeAtCa = Extract<Task, { readonly kind: "revoke-at-ca" }>

/** What waits, for people and for the doctor. */
export interface QueueDepth {
  /** Every task that is not done, those that wait for their next try included. */
  readonly open: number
  /** Those of them that a worker could take this moment. */
  readonly due: number
  /** Those of them that a worker has now. */
  readonly running: number
  /** Those of them whose last try failed. */
  readonly failing: number
  /** How long the one that was to be done first has been due, in whole seconds; 0 where none is due. */
  readonly oldestDueSeconds: number
}

/** What a sweep found and did. */
export interface SweepResult {
  /** Intents whose program ended without a word; they are ambiguous now. */
  readonly abandonedIntents: number
  readonly newRevocations: number
  /** Open revocations whose certificate has ended by itself. */
  readonly moot: number
  /** Tasks that were done long ago and are deleted. */
  readonly forgotten: number
}

const DepthRow = Schema.Struct({
  open: Schema.Int,
  due: Schema.Int,
  running: Schema.Int,
  failing: Schema.Int,
  oldest_due_seconds: Schema.Int
})

const OpenRow = Schema.Struct({ id: TaskId, last_error_code: Schema.NullOr(Schema.String) })
const IdRow = Schema.Struct({ id: TaskId })
const CountRow = Schema.Struct({ count: Schema.Int })

/** A certificate that was settled for so long without a confirmed revocation, and without a task for one, gets one. */
const overlookedAfter = Duration.minutes(15)

/** How long an intent is taken to be worked on after its program last said so, by the database's clock. */
const intentLease = "10 seconds"

/** How often a program says so. */
export const keepIntentsEvery = Duration.seconds(3)

/** The end of the lease, as an expression. */
export const heldUntil = `now() + interval '${intentLease}'`

/** How long a task that is done stays on record. */
const keptFor = "30 days"

/** At most this many rows of each sort in one sweep, so that its transaction stays short; the next one goes on. */
const sweepLimit = 1000

/**
 * Writes a revocation for every certificate among `which` (of the alias `c`) that the CA could vouch for although nobody
 * may hold it: withheld, ambiguous, or issued under a grant that is revoked. To be run in the transaction that causes it.
 */
export const revokeUnlessDead = (sql: SqlClient, which: Fragment, reason: string, at: Date) => sql`
  INSERT INTO federation_tasks (kind, subject, payload)
  SELECT 'revoke-at-ca', c.serial, jsonb_build_object('serial', c.serial, 'reason', ${reason}::text)
  FROM federation_certificates c JOIN federation_grants g ON g.id = c.grant_id
  WHERE ${which} AND c.revoked_at_ca IS NULL AND c.not_after > ${at}
    AND (c.state IN ('withheld', 'ambiguous') OR (c.state = 'issued' AND g.status = 'revoked'))
  ORDER BY c.serial
  ON CONFLICT (kind, subject) WHERE state = 'open' DO NOTHING
  RETURNING id`

/**
 * Makes those of these intents (of the alias `c`) ambiguous whose program has ended without a word, and has their serials
 * revoked. To be run in a transaction. A program that was only slow finds its intent settled, and withholds.
 */
export const settleAbandoned = Effect.fnUntraced(function* (sql: SqlClient, which: Fragment, at: Date) {
  const audit = yield* auditBy(sql)
  const event = {
    action: "certificate.issue",
    outcome: "ambiguous",
    grantId: sql`abandoned.grant_id`,
    serial: sql`abandoned.serial`,
    errorCode: "INTERRUPTED"
  } as const
  const settled = yield* sql`
    WITH abandoned AS (
      UPDATE federation_certificates SET state = 'ambiguous', error_code = 'INTERRUPTED', settled_at = ${at}
      WHERE serial = ANY (ARRAY(
        SELECT c.serial FROM federation_certificates c
        WHERE ${which} AND c.state = 'intent' AND c.held_until <= now()
        ORDER BY c.serial LIMIT ${sweepLimit} FOR UPDATE SKIP LOCKED
      ))
      RETURNING serial, grant_id
    ), audited AS (${audit(at, event, sql`abandoned`)})
    SELECT serial FROM abandoned`
  const serials = settled.map((row) => String(row["serial"]))
  const revocations =
    serials.length === 0
      ? []
      : yield* revokeUnlessDead(
          sql,
          sql`c.serial = ANY (${serials}::text[])`,
          "its program ended without a word",
          at
        )
  return { intents: serials.length, revocations: revocations.length }
})

export class TaskRepo extends Context.Service<
  TaskRepo,
  {
    /** Lends this task for so long; none where it is done or lent already, or not due yet and not wanted `early`. */
    readonly claim: (
      id: TaskId,
      worker: WorkerId,
      lease: Duration.Duration,
      when?: "due" | "early"
    ) => Effect.Effect<Option.Option<Task>, StorageError>
    /** Lends up to `limit` tasks that are due, the oldest first, and never the same one to two workers. */
    readonly claimDue: (
      worker: WorkerId,
      lease: Duration.Duration,
      limit: number
    ) => Effect.Effect<ReadonlyArray<Task>, StorageError>
    /** False where the loan had ended and somebody else may have the task: the worker must stop. */
    readonly renew: (task: Task, lease: Duration.Duration) => Effect.Effect<boolean, StorageError>
    /** Records the CA's confirmation with the certificate, and the task as done, in one transaction. */
    readonly revokedAtCa: (task: RevokeAtCa) => Effect.Effect<void, StorageError>
    /** Gives the task back, to be tried again after `delay`. Nothing happens where it is no longer this worker's. */
    readonly retryLater: (
      task: Task,
      errorCode: string,
      delay: Duration.Duration
    ) => Effect.Effect<void, StorageError>
    /** Gives the task back as if it had not been taken: the worker is ending. */
    readonly giveBack: (task: Task) => Effect.Effect<void, StorageError>
    /** Does all of a sweep in one transaction, and makes its task due again after `interval`. */
    readonly sweep: (task: Task, interval: Duration.Duration) => Effect.Effect<SweepResult, StorageError>
    /** Settles the intents whose programs have ended without a word. */
    readonly settleAbandoned: Effect.Effect<void, StorageError>
    /** There is one sweep to do at any time; called by every worker that starts. */
    readonly ensureSweep: Effect.Effect<void, StorageError>
    /** Those of these tasks that are open, each with the code of its last failure. */
    readonly openOf: (
      ids: ReadonlyArray<TaskId>
    ) => Effect.Effect<
      ReadonlyArray<{ readonly id: TaskId; readonly errorCode: string | null }>,
      StorageError
    >
    readonly depth: Effect.Effect<QueueDepth, StorageError>
  }
>()("@mosaic-federation/issuance/TaskRepo") {
  /** Needs a migrated database. */
  static readonly layerNoDeps = Layer.effect(
    TaskRepo,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const now = Effect.map(DateTime.now, DateTime.toDateUtc)

      const inTransaction = transactionOn(sql)

      const seconds = (duration: Duration.Duration) => Duration.toMillis(duration) / 1000

      const free = sql`state = 'open' AND (lock_until IS NULL OR lock_until <= now())
        AND kind IN ('revoke-at-ca', 'expire-sweep')`
      const due = sql`${free} AND not_before <= now()`

      const lend = (worker: WorkerId, lease: Duration.Duration) => sql`
        attempts = attempts + 1, locked_by = ${worker}, lock_until = now() + make_interval(secs => ${seconds(lease)})`

      /** The worker, and the very loan: a worker that lost the task and got it again has another count. */
      const isMine = (task: Task) =>
        sql`id = ${task.id} AND state = 'open' AND locked_by = ${task.locked_by} AND attempts = ${task.attempts}`

      const claim = Effect.fn("TaskRepo.claim")(function* (
        id: TaskId,
        worker: WorkerId,
        lease: Duration.Duration,
        when: "due" | "early" = "due"
      ) {
        const [task] = yield* rowsOf(
          "take a task",
          TaskRow,
          sql`
            UPDATE federation_tasks SET ${lend(worker, lease)} WHERE id = ${id} AND ${when === "due" ? due : free}
            RETURNING id, kind, payload, attempts, locked_by`
        )
        return Option.fromUndefinedOr(task)
      })

      const claimDue = Effect.fn("TaskRepo.claimDue")(
        (worker: WorkerId, lease: Duration.Duration, limit: number) =>
          rowsOf(
            "take the tasks that are due",
            TaskRow,
            sql`
              UPDATE federation_tasks SET ${lend(worker, lease)}
              WHERE id = ANY (ARRAY(
                SELECT id FROM federation_tasks WHERE ${due}
                ORDER BY not_before, id LIMIT ${limit} FOR UPDATE SKIP LOCKED
              ))
              RETURNING id, kind, payload, attempts, locked_by`
          )
      )

      const renew = Effect.fn("TaskRepo.renew")(function* (task: Task, lease: Duration.Duration) {
        const rows = yield* rowsOf(
          "keep a task",
          IdRow,
          sql`
            UPDATE federation_tasks SET lock_until = now() + make_interval(secs => ${seconds(lease)})
            WHERE ${isMine(task)} RETURNING id`
        )
        return rows.length > 0
      })

      const settled = sql`locked_by = NULL, lock_until = NULL, done_at = now()`

      const revokedAtCa = Effect.fn("TaskRepo.revokedAtCa")(function* (task: RevokeAtCa) {
        const operation = "record a revocation at the CA"
        const at = yield* now
        const audit = yield* auditBy(sql)
        const { serial } = task.payload
        const event = {
          action: "certificate.revoke-at-ca",
          outcome: "confirmed",
          grantId: sql`confirmed.grant_id`,
          serial
        } as const
        yield* inTransaction(
          operation,
          Effect.gen(function* () {
            // True whoever has the task now: the CA has confirmed it.
            yield* sql`
              WITH confirmed AS (
                UPDATE federation_certificates SET revoked_at_ca = ${at}
                WHERE serial = ${serial} AND revoked_at_ca IS NULL AND state <> 'intent'
                RETURNING grant_id
              ) ${audit(at, event, sql`confirmed`)}`
            yield* sql`
              UPDATE federation_tasks SET state = 'done', ${settled} WHERE id = ${task.id} AND state = 'open'`
          })
        )
      })

      const retryLater = Effect.fn("TaskRepo.retryLater")(function* (
        task: Task,
        errorCode: string,
        delay: Duration.Duration
      ) {
        yield* rowsOf(
          "put a task off",
          IdRow,
          sql`
            UPDATE federation_tasks SET locked_by = NULL, lock_until = NULL, last_error_code = ${errorCode},
              not_before = now() + make_interval(secs => ${seconds(delay)})
            WHERE ${isMine(task)} RETURNING id`
        )
      })

      const giveBack = Effect.fn("TaskRepo.giveBack")(function* (task: Task) {
        yield* rowsOf(
          "give a task back",
          IdRow,
          sql`
            UPDATE federation_tasks SET locked_by = NULL, lock_until = NULL, attempts = attempts - 1
            WHERE ${isMine(task)} RETURNING id`
        )
      })

      const sweep = Effect.fn("TaskRepo.sweep")(function* (task: Task, interval: Duration.Duration) {
        const operation = "sweep what has expired"
        const at = yield* now
        const overlooked = new Date(at.getTime() - Duration.toMillis(overlookedAfter))
        return yield* inTransaction(
          operation,
          Effect.gen(function* () {
            const abandoned = yield* settleAbandoned(sql, sql`true`, at)
            const revocations = yield* revokeUnlessDead(
              sql,
              sql`c.serial IN (
                SELECT serial FROM federation_certificates open
                WHERE open.not_after > ${at} AND open.revoked_at_ca IS NULL AND open.settled_at < ${overlooked}
              )`,
              "nobody may hold it",
              at
            )
            const moot = yield* rowsOf(
              operation,
              CountRow,
              sql`
                WITH ended AS (
                  UPDATE federation_tasks t SET state = 'moot', ${settled}
                  FROM federation_certificates c
                  WHERE t.kind = 'revoke-at-ca' AND t.state = 'open' AND c.serial = t.subject AND c.not_after <= ${at}
                    AND (t.lock_until IS NULL OR t.lock_until <= now())
                  RETURNING t.id
                ) SELECT count(*)::int AS count FROM ended`
            )
            const forgotten = yield* rowsOf(
              operation,
              CountRow,
              sql`
                WITH gone AS (
                  DELETE FROM federation_tasks WHERE id IN (
                    SELECT id FROM federation_tasks
                    WHERE state <> 'open' AND done_at < now() - ${keptFor}::interval LIMIT ${sweepLimit}
                  ) RETURNING id
                ) SELECT count(*)::int AS count FROM gone`
            )
            yield* sql`
              UPDATE federation_tasks SET locked_by = NULL, lock_until = NULL, attempts = 0, last_error_code = NULL,
                not_before = now() + make_interval(secs => ${seconds(interval)})
              WHERE ${isMine(task)}`
            return {
              abandonedIntents: abandoned.intents,
              newRevocations: abandoned.revocations + revocations.length,
              moot: moot[0]?.count ?? 0,
              forgotten: forgotten[0]?.count ?? 0
            } satisfies SweepResult
          })
        )
      })

      const settleAll = Effect.gen(function* () {
        yield* inTransaction("settle abandoned intents", settleAbandoned(sql, sql`true`, yield* now))
      }).pipe(Effect.withSpan("TaskRepo.settleAbandoned"))

      const ensureSweep = rowsOf(
        "plan the sweep",
        IdRow,
        sql`
          INSERT INTO federation_tasks (kind, subject, payload) VALUES ('expire-sweep', '', '{}')
          ON CONFLICT (kind, subject) WHERE state = 'open' DO NOTHING RETURNING id`
      ).pipe(Effect.asVoid, Effect.withSpan("TaskRepo.ensureSweep"))

      const openOf = Effect.fn("TaskRepo.openOf")(function* (ids: ReadonlyArray<TaskId>) {
        const rows = yield* rowsOf(
          "look for open tasks",
          OpenRow,
          sql`
            SELECT id, last_error_code FROM federation_tasks
            WHERE id = ANY (${ids}::uuid[]) AND state = 'open' ORDER BY created_at, id`
        )
        return rows.map((row) => ({ id: row.id, errorCode: row.last_error_code }))
      })

      const depth = rowsOf(
        "measure the queue",
        DepthRow,
        sql`
          SELECT count(*)::int AS open,
            count(*) FILTER (WHERE not_before <= now() AND (lock_until IS NULL OR lock_until <= now()))::int AS due,
            count(*) FILTER (WHERE lock_until > now())::int AS running,
            count(*) FILTER (WHERE last_error_code IS NOT NULL)::int AS failing,
            coalesce(floor(extract(epoch FROM now() - min(not_before) FILTER (
              WHERE not_before <= now() AND (lock_until IS NULL OR lock_until <= now())
            ))), 0)::int AS oldest_due_seconds
          FROM federation_tasks WHERE state = 'open'`
      ).pipe(
        Effect.map(([row]) => ({
          open: row?.open ?? 0,
          due: row?.due ?? 0,
          running: row?.running ?? 0,
          failing: row?.failing ?? 0,
          oldestDueSeconds: row?.oldest_due_seconds ?? 0
        })),
        Effect.withSpan("TaskRepo.depth")
      )

      return TaskRepo.of({
        claim,
        claimDue,
        renew,
        revokedAtCa,
        retryLater,
        giveBack,
        sweep,
        settleAbandoned: settleAll,
        ensureSweep,
        openOf,
        depth
      })
    })
  )

  /** On `DATABASE_URL` or, without it, on the embedded PostgreSQL under `MOSAIC_HOME`. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Database.layer))
}
