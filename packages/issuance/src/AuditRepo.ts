/**
 * The audit record and its chain in the database: read, and sealed. Any number of processes may seal at once: an advisory
 * lock lets one do it at a time, and writers of records wait for none of them. What a record holds is `AuditRecord`, what
 * the chain proves `AuditChain`.
 */
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import {
  type AuditEntry,
  type AuditRecord,
  chained,
  type ChainLink,
  type ChainPoint,
  genesis
} from "./AuditChain.ts"
import type { SignedPoint } from "./AuditKey.ts"
import { refusedOn, refusingOn } from "./AuditRecord.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { transactionOn } from "./internal/transactionOn.ts"

/** "audit" in ASCII: the key of the advisory lock under which one process seals. */
const lockKey = 0x61_7564_6974

/** The most that one transaction seals. */
const batch = 1000

/** The most that a reader takes in at once. */
const page = 1000

/**
 * A record's number is given out a moment before its transaction is known to others. A mark that is as old as this has
 * every number below it on a transaction that the mark's snapshot knew.
 */
const settled = Duration.seconds(2)

/** How often, and how far, the sealer looks back behind what it takes for sealed. */
const lookBackEvery = Duration.minutes(5)
const lookBackBy = 100_000

export interface Sealed {
  readonly sealed: number
  /** Another process had the lock, or the batch was full: more may wait. */
  readonly more: boolean
}

export interface AuditState {
  readonly head: ChainPoint
  /** Committed, and not in the chain yet. */
  readonly unsealed: number
}

export interface EntryFilter {
  /** Only entries above this height. */
  readonly after?: number
  /** Only entries below this height. */
  readonly before?: number
  readonly grantId?: GrantId
  readonly limit: number
}

const Count = Schema.NumberFromString

/** A time with more than milliseconds was changed by hand, and keeps what shows it. */
const inMillis = (at: string) => at.replace(/(\.\d{3})000Z$/, "$1Z")

const recordFields = {
  record: Count,
  at: Schema.String,
  action: Schema.String,
  outcome: Schema.String,
  requester: Schema.String,
  request_id: Schema.String,
  grant_id: Schema.NullOr(Schema.String),
  serial: Schema.NullOr(Schema.String),
  subject: Schema.NullOr(Schema.String),
  error_code: Schema.NullOr(Schema.String),
  detail: Schema.NullOr(Schema.String)
} as const

const RecordRow = Schema.Struct(recordFields)

const EntryRow = Schema.Struct({ ...recordFields, height: Count, hash: Schema.String })

const LinkRow = Schema.Union([
  Schema.Struct({ ...EntryRow.fields, record_id: Count }),
  Schema.Struct({ height: Count, hash: Schema.String, record_id: Count, record: Schema.Null })
])

const PointRow = Schema.Struct({ height: Count, hash: Schema.String })

const SignedRow = Schema.Struct({
  ...PointRow.fields,
  at: Schema.String,
  public_key: Schema.String,
  signature: Schema.String
})

const toSigned = (row: typeof SignedRow.Type): SignedPoint => ({
  height: row.height,
  hash: row.hash,
  at: inMillis(row.at),
  publicKey: row.public_key,
  signature: row.signature
})

const LookRow = Schema.Struct({
  oldest: Schema.BigIntFromString,
  next: Schema.BigIntFromString,
  newest: Count,
  first: Schema.NullOr(Count)
})

const LockRow = Schema.Struct({ locked: Schema.Boolean })

const UnsealedRow = Schema.Struct({ unsealed: Count })

const toRecord = (row: typeof RecordRow.Type): AuditRecord => ({
  record: row.record,
  at: inMillis(row.at),
  action: row.action,
  outcome: row.outcome,
  requester: row.requester,
  requestId: row.request_id,
  grantId: row.grant_id,
  serial: row.serial,
  subject: row.subject,
  errorCode: row.error_code,
  detail: row.detail
})

const toEntry = (row: typeof EntryRow.Type): AuditEntry => ({
  ...toRecord(row),
  height: row.height,
  hash: row.hash
})

const toLink = (row: typeof LinkRow.Type): ChainLink => ({
  height: row.height,
  hash: row.hash,
  recordId: row.record_id,
  record: row.record === null ? null : toRecord(row)
})

/** What this process knows of records that are sealed: nothing at or below `floor` is left to look for. */
interface Watermark {
  floor: number
  lookedBack: number
  readonly marks: Array<{ readonly newest: number; readonly next: bigint; readonly seen: number }>
}

export class AuditRepo extends Context.Service<
  AuditRepo,
  {
    /** Seals one batch of what is committed, unless another process is at it. */
    readonly seal: Effect.Effect<Sealed, StorageError>
    readonly state: Effect.Effect<AuditState, StorageError>
    /** The oldest entries, the oldest first. */
    readonly entries: (filter: EntryFilter) => Effect.Effect<ReadonlyArray<AuditEntry>, StorageError>
    /** The newest entries, the newest last. */
    readonly tail: (filter: EntryFilter) => Effect.Effect<ReadonlyArray<AuditEntry>, StorageError>
    /** The chain above a height as it stands, whatever it proves; at most 1000 links. */
    readonly links: (after: number, limit?: number) => Effect.Effect<ReadonlyArray<ChainLink>, StorageError>
    /** Where the chain begins, where entries were pruned. */
    readonly checkpoint: Effect.Effect<SignedPoint | null, StorageError>
    /** The newest signed heads, at most 1000. */
    readonly heads: Effect.Effect<ReadonlyArray<SignedPoint>, StorageError>
    /** Nothing happens where this key has signed that height already. */
    readonly recordHead: (head: SignedPoint) => Effect.Effect<void, StorageError>
    /** Records a refusal by its code. */
    readonly refused: ReturnType<typeof refusedOn>
    /** Records the refusals of an effect, which stand whether or not that can be written. */
    readonly refusing: ReturnType<typeof refusingOn>
  }
>()("@mosaic-federation/issuance/AuditRepo") {
  /** Needs a migrated database. */
  static readonly layerNoDeps = Layer.effect(
    AuditRepo,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const inTransaction = transactionOn(sql)
      const watermark: Watermark = { floor: 0, lookedBack: yield* Clock.currentTimeMillis, marks: [] }

      const columns = sql`a.id::text AS record,
        to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, a.action, a.outcome, a.requester,
        a.request_id, a.grant_id::text AS grant_id, a.serial, a.subject, a.error_code, a.detail`

      /** The bound stands beside both tables: the planner does not carry it over, and would read the whole chain. */
      const unsealedAbove = (floor: number) =>
        sql`a.id > ${floor} AND NOT EXISTS (
          SELECT FROM federation_audit_chain c WHERE c.record_id = a.id AND c.record_id > ${floor}
        )`

      const headPoint = Effect.fnUntraced(function* (operation: string) {
        const [head] = yield* rowsOf(
          operation,
          PointRow,
          sql`
            SELECT height::text, hash FROM (
              (SELECT height, hash FROM federation_audit_chain ORDER BY height DESC LIMIT 1) UNION ALL
              (SELECT height, hash FROM federation_audit_checkpoints ORDER BY height DESC LIMIT 1)
            ) AS point ORDER BY point.height DESC LIMIT 1`
        )
        return head ?? genesis
      })

      /** What is final is not looked at again: every transaction that could still fill a gap below it has ended. */
      const look = Effect.fnUntraced(function* (operation: string) {
        const now = yield* Clock.currentTimeMillis
        if (now - watermark.lookedBack > Duration.toMillis(lookBackEvery)) {
          watermark.floor = Math.max(0, watermark.floor - lookBackBy)
          watermark.lookedBack = now
        }
        const [row] = yield* rowsOf(
          operation,
          LookRow,
          sql`
            SELECT pg_snapshot_xmin(s)::text AS oldest, pg_snapshot_xmax(s)::text AS next,
              (SELECT coalesce(max(id), 0)::text FROM federation_audit) AS newest,
              (SELECT a.id::text FROM federation_audit a WHERE ${unsealedAbove(watermark.floor)}
                ORDER BY a.id LIMIT 1) AS first
            FROM pg_current_snapshot() s`
        )
        if (row === undefined) return null
        const { first, newest, next, oldest } = row
        const isFinal = ({ next, seen }: (typeof watermark.marks)[number]) =>
          oldest >= next && now - seen >= Duration.toMillis(settled)
        while (watermark.marks[0] !== undefined && isFinal(watermark.marks[0])) {
          const below = watermark.marks.shift()?.newest ?? 0
          watermark.floor = Math.max(watermark.floor, first === null ? below : Math.min(below, first - 1))
        }
        watermark.marks.push({ newest, next, seen: now })
        return first
      })

      const sealBatch = Effect.gen(function* () {
        const operation = "seal the audit record"
        // Statements of their own: what is read must have been committed when the lock was had.
        const [lock] = yield* rowsOf(
          operation,
          LockRow,
          sql`SELECT pg_try_advisory_xact_lock(${lockKey}::bigint) AS locked`
        )
        if (lock?.locked !== true) return { sealed: 0, more: true }
        const head = yield* headPoint(operation)
        const rows = yield* rowsOf(
          operation,
          RecordRow,
          sql`
            SELECT ${columns} FROM federation_audit a WHERE ${unsealedAbove(watermark.floor)}
            ORDER BY a.id LIMIT ${batch}`
        )
        if (rows.length === 0) return { sealed: 0, more: false }
        const entries = chained(head, rows.map(toRecord))
        yield* sql`
          INSERT INTO federation_audit_chain (height, record_id, hash)
          SELECT e.height::bigint, e.record::bigint, e.hash
          FROM unnest(
            ${entries.map(({ height }) => String(height))}::text[],
            ${entries.map(({ record }) => String(record))}::text[],
            ${entries.map(({ hash }) => hash)}::text[]
          ) AS e (height, record, hash)`
        return { sealed: entries.length, more: entries.length === batch }
      })

      const seal = Effect.gen(function* () {
        const operation = "seal the audit record"
        const first = yield* look(operation)
        if (first === null) return { sealed: 0, more: false }
        return yield* inTransaction(operation, sealBatch)
      }).pipe(
        // Another database may be behind the same address by now.
        Effect.tapError(() =>
          Effect.sync(() => {
            watermark.floor = 0
            watermark.marks.length = 0
          })
        ),
        Effect.withSpan("AuditRepo.seal")
      )

      const state = Effect.gen(function* () {
        const operation = "read the audit chain's head"
        const head = yield* headPoint(operation)
        const [row] = yield* rowsOf(
          operation,
          UnsealedRow,
          sql`SELECT count(*)::text AS unsealed FROM federation_audit a
            WHERE ${unsealedAbove(watermark.floor)}`
        )
        return { head, unsealed: row?.unsealed ?? 0 }
      }).pipe(Effect.withSpan("AuditRepo.state"))

      const select = Effect.fnUntraced(function* (order: "ASC" | "DESC", filter: EntryFilter) {
        const { after, before, grantId, limit } = filter
        const rows = yield* rowsOf(
          "read the audit record",
          EntryRow,
          sql`
            SELECT ${columns}, c.height::text AS height, c.hash
            FROM federation_audit_chain c JOIN federation_audit a ON a.id = c.record_id
            WHERE ${sql.and([
              ...(after === undefined ? [] : [sql`c.height > ${after}`]),
              ...(before === undefined ? [] : [sql`c.height < ${before}`]),
              ...(grantId === undefined ? [] : [sql`a.grant_id = ${grantId}`])
            ])}
            ORDER BY c.height ${sql.literal(order)} LIMIT ${limit}`
        )
        return rows.map(toEntry)
      })

      const entries = Effect.fn("AuditRepo.entries")(function* (filter: EntryFilter) {
        return yield* select("ASC", filter)
      })

      const tail = Effect.fn("AuditRepo.tail")(function* (filter: EntryFilter) {
        return (yield* select("DESC", filter)).toReversed()
      })

      const links = Effect.fn("AuditRepo.links")(function* (after: number, limit = page) {
        const rows = yield* rowsOf(
          "read the audit chain",
          LinkRow,
          sql`
            SELECT ${columns}, c.height::text AS height, c.hash, c.record_id::text AS record_id
            FROM federation_audit_chain c LEFT JOIN federation_audit a ON a.id = c.record_id
            WHERE c.height > ${after} ORDER BY c.height LIMIT ${limit}`
        )
        return rows.map(toLink)
      })

      const signed = sql`height::text, hash, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
        public_key, signature`

      const checkpoint = rowsOf(
        "read the checkpoint of the audit chain",
        SignedRow,
        sql`SELECT ${signed} FROM federation_audit_checkpoints p ORDER BY p.height DESC LIMIT 1`
      ).pipe(
        Effect.map(([row]) => (row === undefined ? null : toSigned(row))),
        Effect.withSpan("AuditRepo.checkpoint")
      )

      const heads = rowsOf(
        "read the signed heads of the audit chain",
        SignedRow,
        sql`SELECT ${signed} FROM federation_audit_heads h ORDER BY h.height DESC LIMIT ${page}`
      ).pipe(
        Effect.map((rows) => rows.map(toSigned)),
        Effect.withSpan("AuditRepo.heads")
      )

      const recordHead = Effect.fn("AuditRepo.recordHead")(function* (head: SignedPoint) {
        yield* rowsOf(
          "record a signed head of the audit chain",
          PointRow,
          sql`
            INSERT INTO federation_audit_heads (height, hash, at, public_key, signature)
            SELECT ${head.height}::bigint, ${head.hash}::text, ${head.at}::text::timestamptz, ${head.publicKey}::text,
              ${head.signature}::text
            WHERE NOT EXISTS (
              SELECT FROM federation_audit_heads h
              WHERE h.height = ${head.height}::bigint AND h.public_key = ${head.publicKey}::text
            )
            RETURNING height::text, hash`
        )
      })

      return AuditRepo.of({
        seal,
        state,
        entries,
        tail,
        links,
        checkpoint,
        heads,
        recordHead,
        refused: refusedOn(sql),
        refusing: refusingOn(sql)
      })
    })
  )
}
