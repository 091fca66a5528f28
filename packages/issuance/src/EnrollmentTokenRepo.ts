/**
 * The records of enrollment tokens. The database has the hash of a token, never the token. A redemption holds a claim for
 * a limited time, so that two of them do not ask the CA at once; what uses a token up is the commit of its certificate
 * alone (`CertificateOrigin`), and a token whose certificate was withheld after all is unused.
 */
import { EnrollmentTokenNotFound } from "@mosaic-federation/domain/EnrollmentErrors"
import { EnrollmentToken, EnrollmentTokenUse, Sha256Hex } from "@mosaic-federation/domain/EnrollmentToken"
import { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Context, DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { auditBy } from "./AuditRecord.ts"
import * as Database from "./Database.ts"
import { NullableDate } from "./internal/nullableDate.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { useUpToken } from "./internal/useUpToken.ts"

export interface NewEnrollmentToken {
  readonly id: EnrollmentTokenId
  readonly grantId: GrantId
  /** Lower-case hex SHA-256 of the whole token. */
  readonly tokenSha256: string
  readonly keySha256: string | null
  readonly createdBy: string
  readonly createdAt: DateTime.Utc
  readonly expiresAt: DateTime.Utc
}

export interface RecordedToken {
  readonly token: EnrollmentToken
  /** SHA-256 of the DER of the CSR that the token's certificate was issued for; null for an unused token. */
  readonly usedForCsr: string | null
}

/** Which redemption is at work: a fresh UUID for each. */
export type ClaimId = string

export interface Redeemer {
  readonly from: string
  readonly requestId: string
}

const TokenRow = Schema.Struct({
  id: EnrollmentTokenId,
  grant_id: GrantId,
  key_sha256: Schema.NullOr(Sha256Hex),
  created_at: Schema.DateTimeUtcFromDate,
  created_by: Schema.String,
  expires_at: Schema.DateTimeUtcFromDate,
  revoked_at: NullableDate,
  used_serial: Schema.NullOr(SerialNumber),
  used_at: NullableDate,
  used_from: Schema.NullOr(Schema.String),
  used_by_request: Schema.NullOr(Schema.String),
  used_for_csr: Schema.NullOr(Schema.String)
})

const useOf = (row: typeof TokenRow.Type) =>
  row.used_for_csr === null ||
  row.used_serial === null ||
  row.used_at === null ||
  row.used_from === null ||
  row.used_by_request === null
    ? null
    : new EnrollmentTokenUse({
        at: row.used_at,
        from: row.used_from,
        requestId: row.used_by_request,
        serial: row.used_serial
      })

const toRecorded = (row: typeof TokenRow.Type): RecordedToken => ({
  usedForCsr: row.used_for_csr,
  token: new EnrollmentToken({
    id: row.id,
    grantId: row.grant_id,
    keySha256: row.key_sha256,
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    use: useOf(row)
  })
})

const IdRow = Schema.Struct({ id: EnrollmentTokenId })

const standardLimit = 100

export class EnrollmentTokenRepo extends Context.Service<
  EnrollmentTokenRepo,
  {
    readonly create: (token: NewEnrollmentToken) => Effect.Effect<EnrollmentToken, StorageError>
    readonly findByHash: (tokenSha256: string) => Effect.Effect<Option.Option<RecordedToken>, StorageError>
    /** The newest first. */
    readonly list: (filter: {
      readonly grantId?: GrantId
      readonly limit?: number
    }) => Effect.Effect<ReadonlyArray<EnrollmentToken>, StorageError>
    /** A token that is used or revoked already stays as it is, and is answered with. */
    readonly revoke: (
      id: EnrollmentTokenId
    ) => Effect.Effect<EnrollmentToken, EnrollmentTokenNotFound | StorageError>
    /** False where the token is not open for this key, or another redemption has it. */
    readonly claim: (
      id: EnrollmentTokenId,
      claim: ClaimId,
      keySha256: string,
      lease: Duration.Duration
    ) => Effect.Effect<boolean, StorageError>
    /** Gives the token back after a failure. */
    readonly release: (id: EnrollmentTokenId, claim: ClaimId) => Effect.Effect<void, StorageError>
    /** For a certificate that was there before the redemption; nothing happens where the token is used up already. */
    readonly useUp: (
      id: EnrollmentTokenId,
      claim: ClaimId,
      serial: SerialNumber,
      redeemer: Redeemer
    ) => Effect.Effect<void, StorageError>
  }
>()("@mosaic-federation/issuance/EnrollmentTokenRepo") {
  /** Needs a migrated database. A token's times are by the caller's clock, claims by the server's, which all share. */
  static readonly layerNoDeps = Layer.effect(
    EnrollmentTokenRepo,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const now = Effect.map(DateTime.now, DateTime.toDateUtc)

      // A use whose certificate is not issued after all is none.
      const tokens = sql`
        SELECT t.id, t.grant_id, t.key_sha256, t.created_at, t.created_by, t.expires_at, t.revoked_at, t.used_serial,
          t.used_at, t.used_from, t.used_by_request, c.csr_sha256 AS used_for_csr
        FROM federation_enrollment_tokens t
          LEFT JOIN federation_certificates c ON c.serial = t.used_serial AND c.state = 'issued'`

      const create = Effect.fn("EnrollmentTokenRepo.create")(function* (token: NewEnrollmentToken) {
        const at = DateTime.toDateUtc(token.createdAt)
        const audit = yield* auditBy(sql)
        const event = {
          action: "token.create",
          outcome: "done",
          grantId: token.grantId,
          subject: token.id,
          detail: `until ${DateTime.formatIso(token.expiresAt)}`
        } as const
        yield* rowsOf(
          "create an enrollment token",
          IdRow,
          sql`
            WITH made AS (
              INSERT INTO federation_enrollment_tokens
                (id, grant_id, token_sha256, key_sha256, created_at, created_by, expires_at)
              VALUES (${token.id}, ${token.grantId}, ${token.tokenSha256}, ${token.keySha256},
                ${at}, ${token.createdBy}, ${DateTime.toDateUtc(token.expiresAt)})
              RETURNING id
            ), audited AS (${audit(at, event, sql`made`)})
            SELECT id FROM made`
        )
        const { createdAt, createdBy, expiresAt, grantId, id, keySha256 } = token
        return new EnrollmentToken({
          id,
          grantId,
          keySha256,
          createdAt,
          createdBy,
          expiresAt,
          revokedAt: null,
          use: null
        })
      })

      const findByHash = Effect.fn("EnrollmentTokenRepo.findByHash")(function* (tokenSha256: string) {
        const [row] = yield* rowsOf(
          "find an enrollment token",
          TokenRow,
          sql`${tokens} WHERE t.token_sha256 = ${tokenSha256}`
        )
        return Option.map(Option.fromUndefinedOr(row), toRecorded)
      })

      const list = Effect.fn("EnrollmentTokenRepo.list")(function* (filter: {
        readonly grantId?: GrantId
        readonly limit?: number
      }) {
        const rows = yield* rowsOf(
          "list enrollment tokens",
          TokenRow,
          sql`
            ${tokens}
            WHERE ${filter.grantId === undefined ? sql`true` : sql`t.grant_id = ${filter.grantId}`}
            ORDER BY t.created_at DESC, t.id DESC
            LIMIT ${filter.limit ?? standardLimit}`
        )
        return rows.map((row) => toRecorded(row).token)
      })

      const revoke = Effect.fn("EnrollmentTokenRepo.revoke")(function* (id: EnrollmentTokenId) {
        const operation = "revoke an enrollment token"
        const at = yield* now
        const audit = yield* auditBy(sql)
        const event = {
          action: "token.revoke",
          outcome: "done",
          grantId: sql`revoked.grant_id`,
          subject: id
        } as const
        yield* rowsOf(
          operation,
          IdRow,
          sql`
            WITH revoked AS (
              UPDATE federation_enrollment_tokens t SET revoked_at = ${at}
              WHERE t.id = ${id} AND t.revoked_at IS NULL AND NOT EXISTS (
                SELECT FROM federation_certificates c WHERE c.serial = t.used_serial AND c.state = 'issued'
              )
              RETURNING t.id, t.grant_id
            ), audited AS (${audit(at, event, sql`revoked`)})
            SELECT id FROM revoked`
        )
        const [row] = yield* rowsOf(operation, TokenRow, sql`${tokens} WHERE t.id = ${id}`)
        if (row === undefined) return yield* new EnrollmentTokenNotFound({ tokenId: id })
        return toRecorded(row).token
      })

      const claim = Effect.fn("EnrollmentTokenRepo.claim")(function* (
        id: EnrollmentTokenId,
        claimId: ClaimId,
        keySha256: string,
        lease: Duration.Duration
      ) {
        const rows = yield* rowsOf(
          "claim an enrollment token",
          IdRow,
          sql`
            UPDATE federation_enrollment_tokens t
            SET claim = ${claimId}, claimed_until = now() + make_interval(secs => ${Duration.toMillis(lease) / 1000})
            WHERE t.id = ${id} AND t.revoked_at IS NULL AND t.expires_at > ${yield* now}
              AND (t.key_sha256 IS NULL OR t.key_sha256 = ${keySha256})
              AND (t.claim IS NULL OR t.claimed_until <= now())
              AND NOT EXISTS (
                SELECT FROM federation_certificates c WHERE c.serial = t.used_serial AND c.state = 'issued'
              )
            RETURNING t.id`
        )
        return rows.length > 0
      })

      const release = Effect.fn("EnrollmentTokenRepo.release")(function* (
        id: EnrollmentTokenId,
        claimId: ClaimId
      ) {
        yield* rowsOf(
          "release an enrollment token",
          IdRow,
          sql`
            UPDATE federation_enrollment_tokens SET claim = NULL, claimed_until = NULL
            WHERE id = ${id} AND claim = ${claimId} RETURNING id`
        )
      })

      const useUp = Effect.fn("EnrollmentTokenRepo.useUp")(function* (
        tokenId: EnrollmentTokenId,
        claimId: ClaimId,
        serial: SerialNumber,
        { from, requestId }: Redeemer
      ) {
        yield* useUpToken(sql, { tokenId, serial, from, requestId }, sql`t.claim = ${claimId}`)
      })

      return EnrollmentTokenRepo.of({ create, findByHash, list, revoke, claim, release, useUp })
    })
  )

  /** On `DATABASE_URL` or, without it, on the embedded PostgreSQL under `MOSAIC_HOME`. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Database.layer))
}
