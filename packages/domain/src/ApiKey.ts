/** An operator's API key on record: what it allows, until when, and when it was last used. No secret is in it. */
import { DateTime, Schema } from "effect"
import { OperatorScope } from "./api/Access.ts"

/** 64 random bits in lower-case hex: a name, no secret. */
export const ApiKeyId = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{16}$/, { expected: "the id of an API key: 16 lower-case hex digits" })
).pipe(Schema.brand("ApiKeyId"))

export type ApiKeyId = typeof ApiKeyId.Type

/** What operators call it. */
export const ApiKeyName = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?$/, {
    expected: "1 to 64 letters, digits and . _ @ - between them"
  })
)

export const ApiKeyStatus = Schema.Literals(["active", "revoked", "expired"])

export type ApiKeyStatus = typeof ApiKeyStatus.Type

export class ApiKey extends Schema.Class<ApiKey>("ApiKey")({
  id: ApiKeyId,
  name: ApiKeyName,
  scope: OperatorScope,
  createdAt: Schema.DateTimeUtcFromString,
  /** Null for a key without an end. */
  expiresAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  revokedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** The key that took its place. */
  rotatedTo: Schema.NullOr(ApiKeyId),
  /** To the minute. */
  lastUsedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  lastUsedFrom: Schema.NullOr(Schema.String)
}) {
  statusAt(now: DateTime.Utc): ApiKeyStatus {
    if (this.revokedAt !== null) return "revoked"
    return this.expiresAt !== null && DateTime.isGreaterThanOrEqualTo(now, this.expiresAt)
      ? "expired"
      : "active"
  }
}
