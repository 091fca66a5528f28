/**
 * The records that issuance stands on: grants, and for each certificate the intent written before the CA is asked and
 * the outcome written after. It decides nothing about whether a grant may issue; it only tells and keeps the truth.
 * Any service may provide its own implementation and reuse the rest of the program.
 */
import {
  Grant,
  type GrantStatus,
  type NewGrant,
  PeerName,
  Scopes,
  StoredStatus
} from "@mosaic-federation/domain/Grant"
import { GrantAlreadyExists, GrantNotFound } from "@mosaic-federation/domain/GrantErrors"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { type StorageError, StorageFailed } from "@mosaic-federation/domain/StorageErrors"
import { UserId } from "@mosaic-federation/domain/UserId"
import { randomUUID } from "node:crypto"
import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { auditBy, currentIssuance } from "./AuditRecord.ts"
import * as Database from "./Database.ts"
import { currentAuditedRow } from "./internal/auditOfGiven.ts"
import { foundTogether } from "./internal/foundTogether.ts"
import {
  type CertificateSettled,
  type CertificateToRecord,
  recordCertificatesOn
} from "./internal/recordCertificates.ts"
import { type IntentFound, type IntentToRecord, recordIntentsOn } from "./internal/recordIntents.ts"
import { NullableDate } from "./internal/nullableDate.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { spanned } from "./internal/spanned.ts"
import { statementsTogether } from "./internal/statementsTogether.ts"
import { transactionOn } from "./internal/transactionOn.ts"
import { heldUntil, revokeUnlessDead, settleAbandoned, TaskId } from "./TaskRepo.ts"

export interface IssuanceIntent {
  readonly serial: SerialNumber
  readonly grantId: GrantId
  readonly subjectUserId: UserId
  /** Lower-case hex SHA-256 of the CSR's DER. */
  readonly csrSha256: string
  /** Of the one-time token; a further try has the same with its number behind. */
  readonly jti: string
  readonly requester: string
  readonly requestId: string
  readonly requestedAt: DateTime.Utc
  /** What the CA is asked for: no certificate of this intent lives longer. */
  readonly notAfter: DateTime.Utc
}

/**
 * `IssuedBefore`: the CSR has a certificate of this grant that lives as long as is asked, and more than half of its life is
 * left. `InProgress`: somebody is asking the CA for one. `NotGranted`: the grant does not allow it, or not any more.
 * Nothing is recorded then.
 */
export type RecordIntentResult =
  | { readonly _tag: "Recorded" }
  | { readonly _tag: "IssuedBefore"; readonly issued: IssuedCert }
  | { readonly _tag: "InProgress"; readonly serial: SerialNumber }
  | { readonly _tag: "NotGranted" }

/**
 * `GrantEnded`: the grant was no longer active when the certificate was to be recorded; it was recorded as withheld.
 * `Overtaken`: the grant ends before the certificate now, or its intent was settled as abandoned; nothing was recorded.
 */
export type RecordIssuedResult =
  | { readonly _tag: "Recorded" }
  | { readonly _tag: "GrantEnded"; readonly status: Exclude<GrantStatus, "active"> }
  | { readonly _tag: "Overtaken"; readonly problem: string }

/** The end of an intent that brought no certificate to anybody. */
export interface IssuanceOutcome {
  readonly serial: SerialNumber
  /** `refused`: nothing was signed. `withheld`: signed, not handed out. `ambiguous`: it may have been signed. */
  readonly state: "refused" | "withheld" | "ambiguous"
  readonly errorCode: string
  readonly revokedAtCa: boolean
}

export interface CertificateRecord {
  readonly serial: SerialNumber
  readonly grantId: GrantId
  readonly subjectUserId: UserId
  readonly state: "intent" | "issued" | IssuanceOutcome["state"]
  readonly csrSha256: string
  /** As in its intent; null where that is of an earlier version. */
  readonly jti: string | null
  readonly requester: string | null
  readonly requestId: string | null
  readonly requestedAt: DateTime.Utc
  readonly notBefore: DateTime.Utc | null
  readonly notAfter: DateTime.Utc
  /** Lower-case hex SHA-256 of the certificate's DER; null unless issued. */
  readonly fingerprintSha256: string | null
  /** Leaf and chain in PEM; null unless issued. */
  readonly fullChainPem: string | null
  readonly errorCode: string | null
  readonly revokedAtCa: DateTime.Utc | null
  /** Since when its revocation is committed and the CA has yet to follow; null where none is open. */
  readonly revocationOpenSince: DateTime.Utc | null
}

export interface GrantFilter {
  readonly peer?: string
  readonly subjectUserId?: UserId
  readonly status?: GrantStatus
  /** Only those that are not revoked and not over, and end by this instant. */
  readonly expiringBefore?: DateTime.Utc
  /** At most this many, newest first; 100 by default. */
  readonly limit?: number
  /** Keyset page: only grants created before this one. */
  readonly before?: GrantId
}

/** What a revocation really did: certificates that live on until their own end unless their verifier asks us. */
export interface RevocationEffect {
  readonly grant: Grant
  readonly alreadyRevoked: boolean
  readonly liveCertificates: number
  readonly lastNotAfter: DateTime.Utc | null
  /** The open tasks that revoke its certificates at the CA, committed with the revocation (`TaskRepo`). */
  readonly caRevocations: ReadonlyArray<TaskId>
}

export const GrantRow = Schema.Struct({
  id: GrantId,
  subject_user_id: UserId,
  peer: PeerName,
  scopes: Scopes,
  status: StoredStatus,
  expires_at: Schema.DateTimeUtcFromDate,
  created_at: Schema.DateTimeUtcFromDate,
  revoked_at: NullableDate,
  revocation_reason: Schema.NullOr(Schema.String)
})

export const toGrant = (row: typeof GrantRow.Type) =>
  new Grant({
    id: row.id,
    subjectUserId: row.subject_user_id,
    peer: row.peer,
    scopes: row.scopes,
    storedStatus: row.status,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
    revokedAt: row.revoked_at,
    revocationReason: row.revocation_reason
  })

export const CertificateRow = Schema.Struct({
  serial: SerialNumber,
  grant_id: GrantId,
  subject_user_id: UserId,
  state: Schema.Literals(["intent", "issued", "refused", "withheld", "ambiguous"]),
  csr_sha256: Schema.String,
  jti: Schema.NullOr(Schema.String),
  requester: Schema.NullOr(Schema.String),
  request_id: Schema.NullOr(Schema.String),
  requested_at: Schema.DateTimeUtcFromDate,
  not_before: NullableDate,
  not_after: Schema.DateTimeUtcFromDate,
  fingerprint_sha256: Schema.NullOr(Schema.String),
  full_chain_pem: Schema.NullOr(Schema.String),
  error_code: Schema.NullOr(Schema.String),
  revoked_at_ca: NullableDate,
  revocation_open_since: NullableDate
})

/** The columns of `CertificateRow`, of the certificates `c`. */
export const certificateColumns = `c.*, (
  SELECT t.created_at FROM federation_tasks t
  WHERE t.kind = 'revoke-at-ca' AND t.subject = c.serial AND t.state = 'open'
) AS revocation_open_since`

export const toCertificateRecord = (row: typeof CertificateRow.Type): CertificateRecord => ({
  serial: row.serial,
  grantId: row.grant_id,
  subjectUserId: row.subject_user_id,
  state: row.state,
  csrSha256: row.csr_sha256,
  jti: row.jti,
  requester: row.requester,
  requestId: row.request_id,
  requestedAt: row.requested_at,
  notBefore: row.not_before,
  notAfter: row.not_after,
  fingerprintSha256: row.fingerprint_sha256,
  fullChainPem: row.full_chain_pem,
  errorCode: row.error_code,
  revokedAtCa: row.revoked_at_ca,
  revocationOpenSince: row.revocation_open_since
})

/** Null unless it is revoked: from the commit that says so on, however long the CA takes to follow. */
export const revokedSince = ({
  revocationOpenSince,
  revokedAtCa
}: Pick<CertificateRecord, "revocationOpenSince" | "revokedAtCa">): DateTime.Utc | null =>
  revocationOpenSince ?? revokedAtCa

const grantsByIds = `
  SELECT found.* FROM unnest((SELECT $1::uuid[])) AS asked (id) CROSS JOIN LATERAL (
    SELECT * FROM federation_grants t WHERE t.id = asked.id OFFSET 0
  ) found`

const LiveCertificatesRow = Schema.Struct({
  live: Schema.Int,
  last_not_after: NullableDate
})

const SerialRow = Schema.Struct({ serial: SerialNumber })

const pemBlocks = /-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n/g

/** Undefined unless it was issued. */
export const certificateOf = ({
  fullChainPem,
  notAfter,
  notBefore,
  serial
}: Pick<CertificateRecord, "serial" | "notBefore" | "notAfter" | "fullChainPem">): IssuedCert | undefined => {
  const [certificate, ...chain] = fullChainPem?.match(pemBlocks) ?? []
  return certificate === undefined || notBefore === null
    ? undefined
    : new IssuedCert({ certificate, chain, serial, notBefore, notAfter })
}

/** None unless it was issued, is not over and not revoked. */
export const goodCertificateOf = (record: CertificateRecord, now: DateTime.Utc): Option.Option<IssuedCert> =>
  revokedSince(record) !== null || DateTime.isGreaterThanOrEqualTo(now, record.notAfter)
    ? Option.none()
    : Option.fromUndefinedOr(certificateOf(record))

const standardLimit = 100

/** At the certificates of one CSR, for one intent. */
const mostLooks = 20

const TaskRow = Schema.Struct({ id: TaskId })

export class GrantRepo extends Context.Service<
  GrantRepo,
  {
    readonly find: (id: GrantId) => Effect.Effect<Grant, GrantNotFound | StorageError>
    readonly create: (grant: NewGrant) => Effect.Effect<Grant, GrantAlreadyExists | StorageError>
    readonly list: (filter: GrantFilter) => Effect.Effect<ReadonlyArray<Grant>, StorageError>
    readonly revoke: (
      id: GrantId,
      reason: string
    ) => Effect.Effect<RevocationEffect, GrantNotFound | StorageError>
    /**
     * Committed before it returns; a serial that was used before is refused with `StorageFailed`. Of two with the same
     * grant and CSR one alone is recorded until the other has its outcome.
     */
    readonly recordIntent: (intent: IssuanceIntent) => Effect.Effect<RecordIntentResult, StorageError>
    /** Says that these are still worked on. An intent of which nobody says so for a while is abandoned. */
    readonly keepIntents: (serials: ReadonlyArray<SerialNumber>) => Effect.Effect<void, StorageError>
    /** Reads the grant's row under a lock, and records the certificate in the same transaction. */
    readonly recordIssued: (
      issued: IssuedCert,
      fingerprintSha256: string
    ) => Effect.Effect<RecordIssuedResult, StorageError>
    readonly recordOutcome: (outcome: IssuanceOutcome) => Effect.Effect<void, StorageError>
    readonly certificates: (filter: {
      readonly grantId?: GrantId
      readonly serial?: SerialNumber
      readonly limit?: number
    }) => Effect.Effect<ReadonlyArray<CertificateRecord>, StorageError>
  }
>()("@mosaic-federation/issuance/GrantRepo") {
  /**
   * Needs a migrated database. Every decision about time is made by the caller's `Clock`, the one by which the policy
   * decided, and not by the server's: two clocks that differ would let one step contradict the other.
   */
  static readonly layerNoDeps = Layer.effect(
    GrantRepo,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const now = Effect.map(DateTime.now, DateTime.toDateUtc)
      const inTransaction = transactionOn(sql)

      const findTogether = foundTogether(sql, {
        operation: "find a grant",
        statement: (ids: ReadonlyArray<GrantId>) => sql.unsafe<object>(grantsByIds, [ids]),
        row: GrantRow,
        read: toGrant,
        nameOf: (id) => id,
        nameOfRow: ({ id }) => id
      })

      const find = Effect.fnUntraced(function* (id: GrantId) {
        const found = yield* findTogether(id)
        return Option.isSome(found) ? found.value : yield* new GrantNotFound({ grantId: id })
      }, spanned("GrantRepo.find"))

      const create = Effect.fn("GrantRepo.create")(function* (grant: NewGrant) {
        const id = grant.id ?? GrantId.make(randomUUID())
        const at = yield* now
        const audit = yield* auditBy(sql)
        const detail = `${grant.peer} for ${grant.subjectUserId} until ${DateTime.formatIso(grant.expiresAt)}: ${grant.scopes.join(" ")}`
        const [row] = yield* rowsOf(
          "create a grant",
          GrantRow,
          sql`
            WITH made AS (
              INSERT INTO federation_grants (id, subject_user_id, peer, scopes, status, expires_at, created_at)
              VALUES (${id}, ${grant.subjectUserId}, ${grant.peer}, ${grant.scopes}, 'active',
                ${DateTime.toDateUtc(grant.expiresAt)}, ${at})
              ON CONFLICT (id) DO NOTHING
              RETURNING *
            ), audited AS (
              ${audit(at, { action: "grant.create", outcome: "done", grantId: id, detail }, sql`made`)}
            )
            SELECT * FROM made`
        )
        if (row === undefined) return yield* new GrantAlreadyExists({ grantId: id })
        return toGrant(row)
      })

      const hasStatus = (status: GrantStatus, at: Date) => {
        switch (status) {
          case "revoked":
            return sql`status = 'revoked'`
          case "expired":
            return sql`status <> 'revoked' AND expires_at <= ${at}`
          case "active":
          case "suspended":
            return sql`status = ${status} AND expires_at > ${at}`
        }
      }

      const list = Effect.fn("GrantRepo.list")(function* (filter: GrantFilter) {
        const at = yield* now
        const rows = yield* rowsOf(
          "list grants",
          GrantRow,
          sql`
            SELECT * FROM federation_grants
            WHERE ${sql.and([
              ...(filter.peer === undefined ? [] : [sql`peer = ${filter.peer}`]),
              ...(filter.subjectUserId === undefined ? [] : [sql`subject_user_id = ${filter.subjectUserId}`]),
              ...(filter.status === undefined ? [] : [hasStatus(filter.status, at)]),
              ...(filter.expiringBefore === undefined
                ? []
                : [
                    sql`status <> 'revoked' AND expires_at > ${at}
                      AND expires_at <= ${DateTime.toDateUtc(filter.expiringBefore)}`
                  ]),
              ...(filter.before === undefined
                ? []
                : [
                    sql`(created_at, id) < (SELECT created_at, id FROM federation_grants WHERE id = ${filter.before})`
                  ])
            ])}
            ORDER BY created_at DESC, id DESC
            LIMIT ${filter.limit ?? standardLimit}`
        )
        return rows.map(toGrant)
      })

      const revoke = Effect.fn("GrantRepo.revoke")(function* (id: GrantId, reason: string) {
        const operation = "revoke a grant"
        const at = yield* now
        const audit = yield* auditBy(sql)
        const event = { action: "grant.revoke", grantId: id, detail: reason } as const
        const transaction = Effect.gen(function* () {
          // Waits for a certificate that is being recorded, so the count below, a statement with a view of its own, has it.
          const [revoked] = yield* rowsOf(
            operation,
            GrantRow,
            sql`
              WITH ended AS (
                UPDATE federation_grants SET status = 'revoked', revoked_at = ${at}, revocation_reason = ${reason}
                WHERE id = ${id} AND status <> 'revoked'
                RETURNING *
              ), audited AS (${audit(at, { ...event, outcome: "done" }, sql`ended`)})
              SELECT * FROM ended`
          )
          const grant = revoked === undefined ? yield* find(id) : toGrant(revoked)
          if (revoked === undefined) yield* audit(at, { ...event, outcome: "unchanged" })
          const [row] = yield* rowsOf(
            operation,
            LiveCertificatesRow,
            sql`
              SELECT count(*)::int AS live, max(not_after) AS last_not_after FROM federation_certificates
              WHERE grant_id = ${id} AND state = 'issued' AND not_after > ${at}`
          )
          yield* rowsOf(
            operation,
            TaskRow,
            revokeUnlessDead(
              sql,
              sql`c.grant_id = ${id}`,
              `grant revoked: ${grant.revocationReason ?? reason}`,
              at
            )
          )
          const open = yield* rowsOf(
            operation,
            TaskRow,
            sql`
              SELECT t.id FROM federation_tasks t JOIN federation_certificates c ON c.serial = t.subject
              WHERE t.kind = 'revoke-at-ca' AND t.state = 'open' AND c.grant_id = ${id}
              ORDER BY t.created_at, t.id`
          )
          return {
            grant,
            alreadyRevoked: revoked === undefined,
            liveCertificates: row?.live ?? 0,
            lastNotAfter: row?.last_not_after ?? null,
            caRevocations: open.map((task) => task.id)
          }
        })
        return yield* inTransaction(operation, transaction)
      })

      const certificates = Effect.fn("GrantRepo.certificates")(function* (filter: {
        readonly grantId?: GrantId
        readonly serial?: SerialNumber
        readonly limit?: number
      }) {
        const rows = yield* rowsOf(
          "list certificates",
          CertificateRow,
          sql`
            SELECT ${sql.literal(certificateColumns)} FROM federation_certificates c
            WHERE ${sql.and([
              ...(filter.grantId === undefined ? [] : [sql`c.grant_id = ${filter.grantId}`]),
              ...(filter.serial === undefined ? [] : [sql`c.serial = ${filter.serial}`])
            ])}
            ORDER BY c.requested_at DESC, c.serial DESC
            LIMIT ${filter.limit ?? standardLimit}`
        )
        return rows.map(toCertificateRecord)
      })

      const recordIntents = recordIntentsOn(sql)

      const tryToRecord = statementsTogether<IntentToRecord, IntentFound>(sql, {
        run: recordIntents,
        alone: (intent) =>
          Effect.flatMap(recordIntents([intent]), ([found]) =>
            found === undefined
              ? Effect.die(new Error("nothing was told of an intent"))
              : Effect.succeed(found)
          )
      })

      const recordIntent = Effect.fnUntraced(function* (
        intent: IssuanceIntent
      ): Effect.fn.Return<RecordIntentResult, StorageError> {
        const given: IntentToRecord = {
          serial: intent.serial,
          grant_id: intent.grantId,
          subject_user_id: intent.subjectUserId,
          csr_sha256: intent.csrSha256,
          jti: intent.jti,
          requester: intent.requester,
          request_id: intent.requestId,
          at: DateTime.toDateUtc(intent.requestedAt),
          not_after: DateTime.toDateUtc(intent.notAfter),
          ...(yield* currentAuditedRow)
        }
        for (let looks = 0; looks < mostLooks; looks++) {
          const row = yield* tryToRecord(given)
          if (row.granted === null) return { _tag: "NotGranted" }
          if (row.recorded) return { _tag: "Recorded" }
          if (row.again !== null) {
            const [record] = yield* certificates({ serial: row.again, limit: 1 })
            const issued = record === undefined ? undefined : certificateOf(record)
            if (issued !== undefined) return { _tag: "IssuedBefore", issued }
          }
          if (row.open !== null && row.abandoned !== true) return { _tag: "InProgress", serial: row.open }
          // Nobody works on that one any more; or, with none, somebody began and ended since this statement began.
          if (row.open !== null) {
            const at = yield* now
            const operation = "settle an abandoned intent"
            yield* inTransaction(operation, settleAbandoned(sql, sql`c.serial = ${row.open}`, at))
          }
        }
        return yield* new StorageFailed({
          operation: "record the intent to issue",
          reason: "the certificates of its CSR changed at each look"
        })
      }, spanned("GrantRepo.recordIntent"))

      const keepIntents = Effect.fn("GrantRepo.keepIntents")(function* (
        serials: ReadonlyArray<SerialNumber>
      ) {
        yield* rowsOf(
          "keep intents",
          SerialRow,
          sql`
            UPDATE federation_certificates SET held_until = ${sql.literal(heldUntil)}
            WHERE serial = ANY (${serials}::text[]) AND state = 'intent' RETURNING serial`
        )
      })

      const waitAndRecord = recordCertificatesOn(sql, "wait")

      const settle = statementsTogether<CertificateToRecord, CertificateSettled | null>(sql, {
        run: recordCertificatesOn(sql, "skip"),
        alone: (certificate) => Effect.map(waitAndRecord([certificate]), ([settled]) => settled ?? null)
      })

      /** Why a certificate could not be recorded, where that is nobody's fault. */
      const explainUnrecorded = Effect.fnUntraced(function* ({
        notAfter,
        serial
      }: IssuedCert): Effect.fn.Return<RecordIssuedResult, StorageError> {
        const [record] = yield* certificates({ serial, limit: 1 })
        if (record?.state === "ambiguous") {
          return { _tag: "Overtaken", problem: "it took so long that another program gave it up meanwhile" }
        }
        if (record?.state === "intent" && DateTime.isLessThanOrEqualTo(notAfter, record.notAfter)) {
          const end = yield* find(record.grantId).pipe(
            Effect.map(({ expiresAt }) => expiresAt),
            Effect.catchTag("GrantNotFound", () => Effect.succeed(notAfter))
          )
          if (DateTime.isLessThan(end, notAfter)) {
            return {
              _tag: "Overtaken",
              problem: `the grant's end was moved to ${DateTime.formatIso(end)} meanwhile`
            }
          }
        }
        return yield* new StorageFailed({
          operation: "record the certificate",
          reason: `serial ${serial} has no open intent that allows a certificate until ${DateTime.formatIso(notAfter)}`
        })
      })

      const recordIssued = Effect.fnUntraced(function* (
        issued: IssuedCert,
        fingerprintSha256: string
      ): Effect.fn.Return<RecordIssuedResult, StorageError> {
        const row = yield* settle({
          serial: issued.serial,
          at: DateTime.toDateUtc(yield* DateTime.now),
          not_before: DateTime.toDateUtc(issued.notBefore),
          not_after: DateTime.toDateUtc(issued.notAfter),
          fingerprint_sha256: fingerprintSha256,
          full_chain_pem: issued.fullChainPem,
          ...(yield* currentAuditedRow)
        })
        if (row === null) return yield* explainUnrecorded(issued)
        const { status } = row
        return status === "active" ? { _tag: "Recorded" } : { _tag: "GrantEnded", status }
      }, spanned("GrantRepo.recordIssued"))

      const recordOutcome = Effect.fn("GrantRepo.recordOutcome")(function* (outcome: IssuanceOutcome) {
        const operation = "record the outcome"
        const at = yield* now
        const audit = yield* auditBy(sql)
        const about = { grantId: sql`settled.grant_id`, serial: outcome.serial }
        const event = {
          ...(yield* currentIssuance),
          ...about,
          outcome: sql`settled.state`,
          errorCode: sql`settled.error_code`
        }
        const confirmation = { ...about, action: "certificate.revoke-at-ca", outcome: "confirmed" } as const
        const settle = Effect.gen(function* () {
          // What is known for certain (refused, withheld) is not overwritten by a later guess; only the CA's
          // confirmation of a revocation is added to it.
          const [row] = yield* rowsOf(
            operation,
            SerialRow,
            sql`
              WITH before AS (
                SELECT serial, state, revoked_at_ca FROM federation_certificates
                WHERE serial = ${outcome.serial} AND (state <> 'issued' OR ${outcome.state} <> 'refused')
                FOR UPDATE
              ), settled AS (
                UPDATE federation_certificates c SET
                  state = CASE WHEN c.state IN ('refused', 'withheld') THEN c.state ELSE ${outcome.state} END,
                  error_code =
                    CASE WHEN c.state IN ('refused', 'withheld') THEN c.error_code ELSE ${outcome.errorCode} END,
                  not_before = NULL,
                  fingerprint_sha256 = NULL,
                  full_chain_pem = NULL,
                  revoked_at_ca =
                    coalesce(c.revoked_at_ca, CASE WHEN ${outcome.revokedAtCa} THEN ${at}::timestamptz END),
                  settled_at = coalesce(c.settled_at, ${at})
                FROM before WHERE c.serial = before.serial
                RETURNING c.serial, c.grant_id, c.state, c.error_code, before.state <> c.state AS is_new,
                  before.revoked_at_ca IS NULL AND c.revoked_at_ca IS NOT NULL AS is_confirmed
              ), audited AS (${audit(at, event, sql`settled WHERE is_new`)}),
              confirmed AS (${audit(at, confirmation, sql`settled WHERE is_confirmed`)})
              SELECT serial FROM settled`
          )
          if (row === undefined) {
            return yield* new StorageFailed({
              operation,
              reason: `serial ${outcome.serial} has no record that may become ${outcome.state}`
            })
          }
          if (outcome.revokedAtCa || outcome.state === "refused") return
          yield* rowsOf(
            operation,
            TaskRow,
            revokeUnlessDead(sql, sql`c.serial = ${outcome.serial}`, `certificate ${outcome.state}`, at)
          )
        })
        yield* inTransaction(operation, settle)
      })

      return GrantRepo.of({
        find,
        create,
        list,
        revoke,
        recordIntent,
        keepIntents,
        recordIssued,
        recordOutcome,
        certificates
      })
    })
  )

  /** On `DATABASE_URL` or, without it, on the embedded PostgreSQL under `MOSAIC_HOME`. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Database.layer))
}
