/** The rows of operators' API keys. What a key looks like, and whether one that is shown is good, is left to `ApiKeys`. */
import type { OperatorScope } from "@mosaic-federation/domain/api/Access"
import type { ApiKey, ApiKeyId } from "@mosaic-federation/domain/ApiKey"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import {
  ApiKeyExpired,
  ApiKeyNotFound,
  ApiKeyRevoked,
  ApiKeyRotated
} from "@mosaic-federation/domain/ServerErrors"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Context, DateTime, Effect, Layer, type Option } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { type AuditAction, auditBy } from "./AuditRecord.ts"
import { ApiKeyRow, toApiKey } from "./internal/apiKeyRow.ts"
import { keysWithGrantsOn, type RecordedApiKey } from "./internal/keysWithGrants.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { transactionOn } from "./internal/transactionOn.ts"

export interface NewApiKey {
  readonly id: ApiKeyId
  readonly name: string
  readonly scope: OperatorScope
  /** Lower-case hex. */
  readonly keySha256: string
  readonly createdAt: DateTime.Utc
  readonly expiresAt: DateTime.Utc | null
}

const date = (instant: DateTime.Utc | null) => (instant === null ? null : DateTime.toDateUtc(instant))

export class ApiKeyRepo extends Context.Service<
  ApiKeyRepo,
  {
    readonly create: (key: NewApiKey) => Effect.Effect<ApiKey, StorageError>
    /** With the grant that is wanted next, should the key be good: they take one statement. */
    readonly find: (
      id: ApiKeyId,
      grantId?: GrantId
    ) => Effect.Effect<Option.Option<RecordedApiKey>, StorageError>
    /** The newest first. */
    readonly list: Effect.Effect<ReadonlyArray<ApiKey>, StorageError>
    /** A key that is revoked already stays revoked since then. */
    readonly revoke: (id: ApiKeyId) => Effect.Effect<ApiKey, ApiKeyNotFound | StorageError>
    /**
     * Puts a new key, with the end of the old one, in its place; the old one ends at `until` or at its own end before.
     * A key that is over, or that has a successor already, gets none.
     */
    readonly rotate: (
      id: ApiKeyId,
      successor: Pick<NewApiKey, "id" | "keySha256" | "createdAt">,
      until: DateTime.Utc
    ) => Effect.Effect<
      { readonly old: ApiKey; readonly successor: ApiKey },
      ApiKeyNotFound | ApiKeyRevoked | ApiKeyRotated | ApiKeyExpired | StorageError
    >
    readonly noteUse: (id: ApiKeyId, at: DateTime.Utc, from: string) => Effect.Effect<void, StorageError>
  }
>()("@mosaic-federation/issuance/ApiKeyRepo") {
  static readonly layerNoDeps = Layer.effect(
    ApiKeyRepo,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const inTransaction = transactionOn(sql)

      const insert = Effect.fnUntraced(function* (key: NewApiKey, action: AuditAction, detail: string) {
        const at = DateTime.toDateUtc(key.createdAt)
        const audit = yield* auditBy(sql)
        const event = { action, outcome: "done", subject: key.id, detail } as const
        const [row] = yield* rowsOf(
          "create an API key",
          ApiKeyRow,
          sql`
            WITH made AS (
              INSERT INTO federation_api_keys (id, name, scope, key_sha256, created_at, expires_at)
              VALUES (${key.id}, ${key.name}, ${key.scope}, ${key.keySha256}, ${at},
                ${date(key.expiresAt)}::timestamptz)
              RETURNING *
            ), audited AS (${audit(at, event, sql`made`)})
            SELECT * FROM made`
        )
        return row === undefined ? yield* Effect.die(new Error("nothing was inserted")) : toApiKey(row)
      })

      const findTogether = keysWithGrantsOn(sql)

      const list = rowsOf(
        "list API keys",
        ApiKeyRow,
        sql`SELECT * FROM federation_api_keys ORDER BY created_at DESC, id`
      ).pipe(
        Effect.map((rows) => rows.map(toApiKey)),
        Effect.withSpan("ApiKeyRepo.list")
      )

      const revoke = Effect.fn("ApiKeyRepo.revoke")(function* (id: ApiKeyId) {
        const at = DateTime.toDateUtc(yield* DateTime.now)
        const audit = yield* auditBy(sql)
        const event = {
          action: "api-key.revoke",
          outcome: sql`CASE WHEN revoked.revoked_at = ${at} THEN 'done' ELSE 'unchanged' END`,
          subject: id,
          detail: sql`revoked.name`
        } as const
        const [row] = yield* rowsOf(
          "revoke an API key",
          ApiKeyRow,
          sql`
            WITH revoked AS (
              UPDATE federation_api_keys SET revoked_at = coalesce(revoked_at, ${at})
              WHERE id = ${id} RETURNING *
            ), audited AS (${audit(at, event, sql`revoked`)})
            SELECT * FROM revoked`
        )
        return row === undefined ? yield* new ApiKeyNotFound({ keyId: id }) : toApiKey(row)
      })

      const rotate = Effect.fn("ApiKeyRepo.rotate")(function* (
        id: ApiKeyId,
        successor: Pick<NewApiKey, "id" | "keySha256" | "createdAt">,
        until: DateTime.Utc
      ) {
        const operation = "rotate an API key"
        const both = Effect.gen(function* () {
          const [found] = yield* rowsOf(
            operation,
            ApiKeyRow,
            sql`SELECT * FROM federation_api_keys WHERE id = ${id} FOR UPDATE`
          )
          if (found === undefined) return yield* new ApiKeyNotFound({ keyId: id })
          if (found.revoked_at !== null) {
            return yield* new ApiKeyRevoked({ keyId: id, revokedAt: found.revoked_at })
          }
          if (found.rotated_to !== null) {
            return yield* new ApiKeyRotated({ keyId: id, rotatedTo: found.rotated_to })
          }
          const { expires_at: expiresAt, name, scope } = found
          if (expiresAt !== null && toApiKey(found).statusAt(successor.createdAt) === "expired") {
            return yield* new ApiKeyExpired({ keyId: id, expiredAt: expiresAt })
          }
          const made = yield* insert(
            { ...successor, name, scope, expiresAt },
            "api-key.rotate",
            `${name} (${scope}) in place of ${id}, which ends by ${DateTime.formatIso(until)}`
          )
          const [row] = yield* rowsOf(
            operation,
            ApiKeyRow,
            sql`
              UPDATE federation_api_keys
              SET rotated_to = ${successor.id}, expires_at = least(expires_at, ${date(until)}::timestamptz)
              WHERE id = ${id} RETURNING *`
          )
          return row === undefined
            ? yield* new ApiKeyNotFound({ keyId: id })
            : { old: toApiKey(row), successor: made }
        })
        return yield* inTransaction(operation, both)
      })

      const noteUse = Effect.fn("ApiKeyRepo.noteUse")(function* (
        id: ApiKeyId,
        at: DateTime.Utc,
        from: string
      ) {
        yield* rowsOf(
          "note the use of an API key",
          ApiKeyRow,
          sql`
            UPDATE federation_api_keys SET last_used_at = ${date(at)}, last_used_from = ${from}
            WHERE id = ${id} AND (last_used_at IS NULL OR last_used_at < ${date(at)}) RETURNING *`
        )
      })

      return ApiKeyRepo.of({
        create: Effect.fn("ApiKeyRepo.create")((key: NewApiKey) =>
          insert(key, "api-key.create", `${key.name} (${key.scope})`)
        ),
        find: (id: ApiKeyId, grantId?: GrantId) => findTogether({ id, grantId: grantId ?? null }),
        list,
        revoke,
        rotate,
        noteUse
      })
    })
  )
}
