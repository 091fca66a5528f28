/**
 * Deletes what ended long ago, table by table and in short transactions. A row that is live, or that a row which stays
 * refers to, stays; so does an audit record that is not sealed. What goes of the audit chain is verified first, and a
 * signed checkpoint takes its place in the same transaction. API keys stay: the audit record names them.
 */
import { repeatableFor } from "@mosaic-federation/domain/EnrollmentToken"
import {
  AuditChainBroken,
  AuditSignatureInvalid,
  PruneUnderWay,
  type StorageError,
  StorageRightMissing,
  StorageSchemaNewer,
  StorageSchemaOlder
} from "@mosaic-federation/domain/StorageErrors"
import { Context, DateTime, Duration, Effect, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import { breakBetween, type ChainPoint, genesis } from "./AuditChain.ts"
import { AuditKey, keyIdOf } from "./AuditKey.ts"
import { auditBy } from "./AuditRecord.ts"
import { AuditRepo } from "./AuditRepo.ts"
import { type AuditVerificationError, verifyChain } from "./AuditVerification.ts"
import { serverClock } from "./DatabaseReport.ts"
import { keptFor as keysKeptFor } from "./IdempotencyRepo.ts"
import { NullableDate } from "./internal/nullableDate.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { storageError } from "./internal/storageError.ts"
import { transactionOn } from "./internal/transactionOn.ts"
import { latestMigration, schemaStatus } from "./Migrations.ts"

/** How long each stays after its end. */
export interface Keep {
  readonly audit: Duration.Duration
  readonly certificates: Duration.Duration
  readonly grants: Duration.Duration
  readonly tokens: Duration.Duration
  readonly tasks: Duration.Duration
}

export const standardKeep: Keep = {
  audit: Duration.days(400),
  certificates: Duration.days(400),
  grants: Duration.days(400),
  tokens: Duration.days(400),
  tasks: Duration.days(30)
}

export interface PrunedTable {
  readonly table: string
  /** What ended before this goes, unless something that stays needs it. */
  readonly before: DateTime.Utc
  /** What goes. */
  readonly rows: number
  readonly kept: number
  /** Since when the oldest row that stays is there; null where none does. */
  readonly oldestKept: DateTime.Utc | null
}

export interface Pruned {
  readonly tables: ReadonlyArray<PrunedTable>
  /** Where the chain begins after this; `at` is null where a dry run has signed nothing. */
  readonly checkpoint: (ChainPoint & { readonly at: string | null }) | null
  /** Audit records that are not in the chain yet: none of them goes. */
  readonly unsealed: number
}

export type PruneError =
  | AuditVerificationError
  | PruneUnderWay
  | StorageError
  | StorageRightMissing
  | StorageSchemaNewer
  | StorageSchemaOlder

type Needs = SqlClient | AuditRepo | AuditKey

/** Told after each step: how many of a table are verified or deleted by now, of how many. */
export type Progress = (
  doing: "verified" | "deleted",
  table: string,
  done: number,
  of: number
) => Effect.Effect<void>

/** The most that one transaction deletes of a table. */
const batch = 1000

/** "prune" in ASCII: the key of the advisory lock under which one process prunes. */
const lockKey = 0x70_7275_6e65

/** A large table is looked through as a whole. */
const patience = "30 minutes"

const CountRow = Schema.Struct({ count: Schema.NumberFromString })

const PointRow = Schema.Struct({ height: Schema.NumberFromString, hash: Schema.String })

const PlanRow = Schema.Struct({
  rows: Schema.NumberFromString,
  kept: Schema.NumberFromString,
  oldest_kept: NullableDate
})

const KeyRow = Schema.Struct({ key: Schema.Array(Schema.String) })

const LoginRow = Schema.Struct({ login: Schema.String, missing: Schema.NullOr(Schema.String) })

const LockRow = Schema.Struct({ locked: Schema.Boolean, since: NullableDate })

const requireSchema = Effect.gen(function* () {
  const { applied, pending } = yield* schemaStatus()
  const counts = { found: applied.at(-1)?.id ?? 0, known: latestMigration }
  if (counts.found > latestMigration) return yield* new StorageSchemaNewer(counts)
  if (pending.length > 0) return yield* new StorageSchemaOlder(counts)
})

/** Before anything is done, so that nothing is done by half. */
const requireRights = Effect.fnUntraced(function* (tables: ReadonlyArray<string>) {
  const sql = yield* SqlClient
  const [row] = yield* rowsOf(
    "look at the rights to prune",
    LoginRow,
    sql`
      SELECT current_user::text AS login, (
        SELECT p || ' on ' || name FROM unnest(${tables}::text[]) AS name, unnest(ARRAY['DELETE', 'UPDATE']) AS p
        WHERE NOT has_table_privilege(name, p) ORDER BY name, p LIMIT 1
      ) AS missing`
  )
  if (row !== undefined && row.missing !== null) {
    return yield* new StorageRightMissing({ login: row.login, right: row.missing })
  }
})

/**
 * Runs under the lock, which is held by a transaction that does nothing else: it ends with its connection, whatever
 * becomes of this process, and no pooler parts the two. Of all that is done, each step has a transaction of its own.
 */
const alone = Effect.fnUntraced(function* <A, E>(work: Effect.Effect<A, E, Needs>) {
  const operation = "take the lock to prune"
  const sql = yield* SqlClient
  const outside = Effect.updateContext(work, (context: Context.Context<Needs>) =>
    Context.omit(sql.transactionService)(context)
  )
  const held = Effect.gen(function* () {
    yield* sql`SET LOCAL idle_in_transaction_session_timeout = 0`
    const [lock] = yield* rowsOf(
      operation,
      LockRow,
      sql`
        SELECT pg_try_advisory_xact_lock(${lockKey}::bigint) AS locked, (
          SELECT min(a.xact_start) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
          WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (l.classid::bigint << 32) | l.objid::bigint = ${lockKey}::bigint
        ) AS since`
    )
    if (lock?.locked !== true) return yield* new PruneUnderWay({ since: lock?.since ?? null })
    return yield* outside
  })
  return yield* transactionOn(sql)(operation, held)
})

interface Part {
  readonly table: string
  /** Short for the table in what follows. */
  readonly alias: string
  /** Its primary key. */
  readonly key: ReadonlyArray<{ readonly column: string; readonly type: "text" | "uuid" | "bigint" }>
  readonly before: DateTime.Utc
  /** Since when a row is there. */
  readonly made: Fragment
  /** By the row alone. */
  readonly ended: Fragment
  /** That something which stays needs a row that has ended. */
  readonly needed?: Fragment
  /** That nothing refers to it, once the tables before this one are pruned: nothing goes by a cascade. */
  readonly free?: Fragment
}

/** What goes of each table, in an order in which nothing goes by a cascade; of the audit chain what is below the cut. */
const partsOf = (sql: SqlClient, now: DateTime.Utc, keep: Keep, cut: number): ReadonlyArray<Part> => {
  const since = (period: Duration.Duration) => DateTime.subtractDuration(now, period)
  const before = {
    audit: since(keep.audit),
    certificates: since(keep.certificates),
    grants: since(keep.grants),
    // Until then its peer may ask once more for what it was answered.
    tokens: since(Duration.max(keep.tokens, repeatableFor)),
    tasks: since(keep.tasks),
    keys: since(Duration.fromInputUnsafe(keysKeptFor))
  }
  const at = (time: DateTime.Utc) => sql`${DateTime.toDateUtc(time)}::timestamptz`
  const text = (column: string) => ({ column, type: "text" }) as const
  const uuid = (column: string) => ({ column, type: "uuid" }) as const
  const tokens = at(before.tokens)
  const tokenIsOver = sql`t.expires_at < ${tokens} AND (t.used_at IS NULL OR t.used_at < ${tokens})
    AND (t.claimed_until IS NULL OR t.claimed_until < ${tokens})`
  const keyIsOver = sql`k.first_at < ${at(before.keys)}`
  const certificateHasEnded = sql`c.state <> 'intent' AND c.not_after < ${at(before.certificates)}`
  const isToBeRevoked = sql`EXISTS (
    SELECT FROM federation_tasks o WHERE o.kind = 'revoke-at-ca' AND o.subject = c.serial AND o.state = 'open'
  )`
  const certificateIsNeeded = sql`${isToBeRevoked}
    OR EXISTS (SELECT FROM federation_idempotency_keys k WHERE k.serial = c.serial AND NOT (${keyIsOver}))
    OR EXISTS (SELECT FROM federation_enrollment_tokens t WHERE t.used_serial = c.serial AND NOT (${tokenIsOver}))`
  const certificateIsOver = sql`${certificateHasEnded} AND NOT (${certificateIsNeeded})`
  return [
    {
      table: "federation_audit_heads",
      alias: "h",
      key: [{ column: "id", type: "bigint" }],
      before: before.audit,
      made: sql`h.at`,
      ended: sql`h.height < ${cut}`
    },
    {
      table: "federation_tasks",
      alias: "o",
      key: [uuid("id")],
      before: before.tasks,
      made: sql`o.created_at`,
      ended: sql`o.state <> 'open' AND o.done_at < ${at(before.tasks)}`
    },
    {
      table: "federation_renewal_proofs",
      alias: "p",
      key: [text("proof_sha256")],
      before: now,
      made: sql`p.forget_at`,
      ended: sql`p.forget_at < ${at(now)}`
    },
    {
      table: "federation_idempotency_keys",
      alias: "k",
      key: [text("requester"), text("key")],
      before: before.keys,
      made: sql`k.first_at`,
      ended: keyIsOver
    },
    {
      table: "federation_enrollment_tokens",
      alias: "t",
      key: [uuid("id")],
      before: before.tokens,
      made: sql`t.created_at`,
      ended: tokenIsOver
    },
    {
      table: "federation_renewals",
      alias: "r",
      key: [text("serial")],
      before: before.certificates,
      made: sql`(SELECT c.requested_at FROM federation_certificates c WHERE c.serial = r.serial)`,
      // Not EXISTS, of which the planner may make a hash of all certificates, for each batch anew.
      ended: sql`coalesce(
        (SELECT true FROM federation_certificates c WHERE c.serial = r.serial AND ${certificateIsOver}),
        (SELECT true FROM federation_certificates c WHERE c.serial = r.renewed_serial AND ${certificateIsOver}),
        false
      )`
    },
    {
      table: "federation_certificates",
      alias: "c",
      key: [text("serial")],
      before: before.certificates,
      made: sql`c.requested_at`,
      ended: certificateHasEnded,
      needed: certificateIsNeeded,
      free: sql`NOT ${isToBeRevoked}
        AND NOT EXISTS (SELECT FROM federation_renewals r WHERE r.serial = c.serial)
        AND NOT EXISTS (SELECT FROM federation_renewals r WHERE r.renewed_serial = c.serial)
        AND NOT EXISTS (SELECT FROM federation_idempotency_keys k WHERE k.serial = c.serial)
        AND NOT EXISTS (SELECT FROM federation_enrollment_tokens t WHERE t.used_serial = c.serial)`
    },
    {
      table: "federation_grants",
      alias: "g",
      key: [uuid("id")],
      before: before.grants,
      made: sql`g.created_at`,
      ended: sql`least(g.expires_at, g.revoked_at) < ${at(before.grants)}`,
      needed: sql`EXISTS (SELECT FROM federation_certificates c WHERE c.grant_id = g.id AND NOT (${certificateIsOver}))
        OR EXISTS (SELECT FROM federation_enrollment_tokens t WHERE t.grant_id = g.id AND NOT (${tokenIsOver}))`,
      free: sql`NOT EXISTS (SELECT FROM federation_certificates c WHERE c.grant_id = g.id)
        AND NOT EXISTS (SELECT FROM federation_enrollment_tokens t WHERE t.grant_id = g.id)`
    }
  ]
}

const auditTable = "federation_audit"

const auditTables = [auditTable, "federation_audit_chain", "federation_audit_checkpoints"]

const nothing = { rows: 0, kept: 0, oldest_kept: null }

const planOf = Effect.fnUntraced(function* ({ alias, before, ended, made, needed, table }: Part) {
  const sql = yield* SqlClient
  const over = needed === undefined ? ended : sql`${ended} AND NOT (${needed})`
  const [counted = nothing] = yield* rowsOf(
    `count what is to go of ${table}`,
    PlanRow,
    // OFFSET 0: the condition is looked at once for each row.
    sql`
      SELECT count(*) FILTER (WHERE f.over)::text AS rows, count(*) FILTER (WHERE NOT f.over)::text AS kept,
        min(f.made) FILTER (WHERE NOT f.over) AS oldest_kept
      FROM (SELECT ${made} AS made, (${over}) IS TRUE AS over FROM ${sql(table)} ${sql(alias)} OFFSET 0) f`,
    patience
  )
  return { table, before, rows: counted.rows, kept: counted.kept, oldestKept: counted.oldest_kept }
})

/** What is sealed up to the cut goes, and of the rest nothing. */
const auditPlanOf = Effect.fnUntraced(function* (before: DateTime.Utc, cut: number) {
  const sql = yield* SqlClient
  const [counted = nothing] = yield* rowsOf(
    "count what is to go of the audit record",
    PlanRow,
    sql`
      SELECT count(*) FILTER (WHERE c.height <= ${cut})::text AS rows,
        count(*) FILTER (WHERE c.height IS NULL OR c.height > ${cut})::text AS kept,
        min(a.at) FILTER (WHERE c.height IS NULL OR c.height > ${cut}) AS oldest_kept
      FROM federation_audit a LEFT JOIN federation_audit_chain c ON c.record_id = a.id`,
    patience
  )
  const { kept, oldest_kept: oldestKept, rows } = counted
  return { table: auditTable, before, rows, kept, oldestKept } satisfies PrunedTable
})

/** Up to where all that is sealed was decided before this. */
const cutOf = Effect.fnUntraced(function* (before: DateTime.Utc, start: ChainPoint, end: ChainPoint) {
  const operation = "look for the oldest audit record that is kept"
  const sql = yield* SqlClient
  const at = DateTime.toDateUtc(before)
  const [row] = yield* rowsOf(
    operation,
    PointRow,
    sql`
      SELECT l.height::text AS height, l.hash FROM federation_audit_chain l
      WHERE l.height <= ${end.height} AND l.height < coalesce((
        SELECT c.height FROM federation_audit_chain c JOIN federation_audit a ON a.id = c.record_id
        WHERE a.at >= ${at}::timestamptz ORDER BY c.height LIMIT 1
      ), ${end.height + 1})
      ORDER BY l.height DESC LIMIT 1`,
    patience
  )
  return row ?? start
})

/** Moves the checkpoint along the chain, towards the cut, and deletes what is behind it. Tells how many went. */
const auditBatch = Effect.fnUntraced(function* (cut: number) {
  const sql = yield* SqlClient
  const audit = yield* AuditRepo
  const key = yield* AuditKey
  const move = Effect.gen(function* () {
    const checkpoint = yield* audit.checkpoint
    if (checkpoint !== null) {
      yield* key.check("checkpoint", checkpoint, `the checkpoint at height ${checkpoint.height}`)
    }
    const start: ChainPoint = checkpoint ?? genesis
    let end = start
    const links = (yield* audit.links(end.height, batch)).filter(({ height }) => height <= cut)
    if (links.length === 0) return 0
    // In this transaction: what is signed is what is deleted.
    for (const link of links) {
      const found = breakBetween(end, link)
      if (found !== undefined) {
        return yield* new AuditChainBroken({ height: found.height, problem: found.problem, breaks: 1 })
      }
      end = link
    }
    const signed = key.sign("checkpoint", end, DateTime.formatIso(yield* DateTime.now))
    yield* sql`
      INSERT INTO federation_audit_checkpoints (height, hash, at, public_key, signature)
      VALUES (${signed.height}, ${signed.hash}, ${signed.at}::text::timestamptz, ${signed.publicKey}, ${signed.signature})`
    yield* sql`DELETE FROM federation_audit_checkpoints WHERE height < ${signed.height}`
    yield* sql`DELETE FROM federation_audit WHERE id = ANY (${links.map(({ recordId }) => String(recordId))}::bigint[])`
    yield* sql`DELETE FROM federation_audit_chain WHERE height > ${start.height} AND height <= ${signed.height}`
    return links.length
  })
  return yield* transactionOn(sql)("prune the audit record", move)
})

/** Deletes the next batch behind a key, and tells how many went and where it ended. */
const deleteBatch = Effect.fnUntraced(function* (
  { alias, ended, free, key, table }: Part,
  last: ReadonlyArray<string> | null
) {
  const operation = `prune ${table}`
  const sql = yield* SqlClient
  const over = free === undefined ? ended : sql`${ended} AND ${free}`
  const inTable = sql`${sql(table)} ${sql(alias)}`
  const columns = sql.csv(key.map(({ column }) => sql`${sql(alias)}.${sql(column)}`))
  const behind =
    last === null
      ? sql`true`
      : sql`(${columns}) > (${sql.csv(key.map(({ type }, index) => sql`${last[index] ?? ""}::text::${sql.literal(type)}`))})`
  const work = Effect.gen(function* () {
    // Each by its index: statistics lag behind what is deleted, and a plan that reads a whole table would do so each time.
    yield* sql`
      SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) name`
    // What somebody holds is in use. Once a row is locked, nothing new can refer to it.
    const locked = yield* rowsOf(
      operation,
      KeyRow,
      sql`
        SELECT ARRAY[${sql.csv(key.map(({ column }) => sql`${sql(alias)}.${sql(column)}::text`))}] AS key
        FROM ${inTable} WHERE ${behind} AND ${ended}
        ORDER BY ${columns} LIMIT ${batch} FOR UPDATE OF ${sql(alias)} SKIP LOCKED`,
      patience
    )
    if (locked.length === 0) return { gone: 0, last: null }
    // A statement of its own, whose view has what was committed before the lock was had: what refers to the row.
    const keys = sql.csv(
      key.map(
        ({ type }, index) => sql`${locked.map(({ key }) => key[index] ?? "")}::text[]::${sql.literal(type)}[]`
      )
    )
    const [row] = yield* rowsOf(
      operation,
      CountRow,
      sql`
        WITH gone AS (
          DELETE FROM ${inTable} WHERE (${columns}) IN (SELECT * FROM unnest(${keys})) AND ${over} RETURNING 1
        ) SELECT count(*)::text AS count FROM gone`,
      patience
    )
    return { gone: row?.count ?? 0, last: locked.at(-1)?.key ?? null }
  })
  return yield* transactionOn(sql)(operation, work)
})

const drainAudit = Effect.fnUntraced(function* (
  { rows, table }: PrunedTable,
  cut: number,
  progress: Progress
) {
  let done = 0
  for (let gone = yield* auditBatch(cut); gone > 0; gone = yield* auditBatch(cut)) {
    done += gone
    yield* progress("deleted", table, done, rows)
  }
  return done
})

const drain = Effect.fnUntraced(function* (part: Part, { rows, table }: PrunedTable, progress: Progress) {
  let done = 0
  let last: ReadonlyArray<string> | null = null
  do {
    const found: { readonly gone: number; readonly last: ReadonlyArray<string> | null } = yield* deleteBatch(
      part,
      last
    )
    done += found.gone
    last = found.last
    yield* progress("deleted", table, done, rows)
  } while (last !== null)
  return done
})

const deleted = (planned: PrunedTable, gone: number): PrunedTable => ({
  ...planned,
  rows: gone,
  kept: planned.kept + planned.rows - gone
})

const entryDetail = (tables: ReadonlyArray<PrunedTable>) =>
  tables
    .filter(({ rows }) => rows > 0)
    .map(({ before, rows, table }) => `${rows} of ${table} before ${DateTime.formatIso(before)}`)
    .join("; ")

/** A checkpoint by another key than the gateways' would be believed by none of them. */
const requireTheirKey = Effect.gen(function* () {
  const audit = yield* AuditRepo
  const { publicKey } = yield* AuditKey
  const heads = yield* audit.heads
  const newest = heads.filter(({ height }) => height === heads[0]?.height)
  const [other] = newest
  if (other === undefined || newest.some((head) => head.publicKey === publicKey)) return
  return yield* new AuditSignatureInvalid({
    what: "the newest head on record",
    problem: `it is signed by the key ${keyIdOf(other.publicKey)}, and a checkpoint would be by ${keyIdOf(publicKey)}, which the gateways need not believe`
  })
})

/** The clock that is behind: one that is ahead would make an end of what lives. */
const earlierNow = Effect.gen(function* () {
  const here = yield* DateTime.now
  const there = DateTime.makeUnsafe(yield* serverClock)
  return DateTime.isLessThan(there, here) ? there : here
})

const pruneAlone = Effect.fnUntraced(function* (
  keep: Keep,
  dryRun: boolean,
  progress: Progress
): Effect.fn.Return<Pruned, PruneError, Needs> {
  const sql = yield* SqlClient
  const audit = yield* AuditRepo
  const key = yield* AuditKey
  const now = yield* earlierNow

  const { head, unsealed } = yield* audit.state
  const source = {
    ...audit,
    links: (after: number) =>
      Effect.andThen(progress("verified", auditTable, after, head.height), audit.links(after))
  }
  const { checkpoint, end } = yield* verifyChain(source, key, { kept: null })
  const start: ChainPoint = checkpoint ?? genesis
  const before = DateTime.subtractDuration(now, keep.audit)
  const cut = yield* cutOf(before, start, end)
  if (cut.height > start.height) yield* requireTheirKey

  const parts = partsOf(sql, now, keep, cut.height)
  const auditPlan = yield* auditPlanOf(before, cut.height)
  const plans: Array<readonly [Part, PrunedTable]> = []
  for (const part of parts) plans.push([part, yield* planOf(part)])
  const planned = [auditPlan, ...plans.map(([, plan]) => plan)]
  if (dryRun) {
    const moved = { height: cut.height, hash: cut.hash, at: null }
    return { tables: planned, checkpoint: cut.height > start.height ? moved : checkpoint, unsealed }
  }
  if (planned.every(({ rows }) => rows === 0)) return { tables: planned, checkpoint, unsealed }

  const note = Effect.fnUntraced(function* (outcome: string, tables: ReadonlyArray<PrunedTable>) {
    const record = yield* auditBy(sql)
    const at = DateTime.toDateUtc(yield* DateTime.now)
    yield* Effect.mapError(
      record(at, { action: "db.prune", outcome, detail: entryDetail(tables) }),
      storageError("record that the database is pruned")
    )
  })
  // First: whatever ends this in its middle, it is on record who began what.
  yield* note("begun", planned)
  const tables = [deleted(auditPlan, yield* drainAudit(auditPlan, cut.height, progress))]
  for (const [part, plan] of plans) {
    tables.push(plan.rows === 0 ? plan : deleted(plan, yield* drain(part, plan, progress)))
  }
  yield* note("done", tables)
  return { tables, checkpoint: yield* audit.checkpoint, unsealed }
})

/** A dry run answers with what the run would delete, and changes nothing. */
export const prune = Effect.fn("Prune.prune")(function* (
  keep: Keep,
  dryRun: boolean,
  progress: Progress
): Effect.fn.Return<Pruned, PruneError, Needs> {
  const sql = yield* SqlClient
  yield* requireSchema
  const names = partsOf(sql, yield* DateTime.now, keep, 0).map(({ table }) => table)
  yield* requireRights([...auditTables, ...names])
  const work = pruneAlone(keep, dryRun, progress)
  return yield* dryRun ? work : alone(work)
})
