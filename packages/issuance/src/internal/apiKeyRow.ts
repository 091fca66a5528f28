/** An API key as its table has it. */
import { OperatorScope } from "@mosaic-federation/domain/api/Access"
import { ApiKey, ApiKeyId, ApiKeyName } from "@mosaic-federation/domain/ApiKey"
import { Schema } from "effect"
import { NullableDate } from "./nullableDate.ts"

export const ApiKeyRow = Schema.Struct({
  id: ApiKeyId,
  name: ApiKeyName,
  scope: OperatorScope,
  key_sha256: Schema.String,
  created_at: Schema.DateTimeUtcFromDate,
  expires_at: NullableDate,
  revoked_at: NullableDate,
  rotated_to: Schema.NullOr(ApiKeyId),
  last_used_at: NullableDate,
  last_used_from: Schema.NullOr(Schema.String)
})

export const toApiKey = (row: typeof ApiKeyRow.Type) =>
  new ApiKey({
    id: row.id,
    name: row.name,
    scope: row.scope,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    rotatedTo: row.rotated_to,
    lastUsedAt: row.last_used_at,
    lastUsedFrom: row.last_used_from
  })
