/** A grant: the right of one peer to act for one local user until an instant, within scopes. */
import { DateTime, Schema } from "effect"
import { GivenInstant } from "./GivenInstant.ts"
import { GrantId } from "./GrantId.ts"
import { UserId } from "./UserId.ts"

/** The name by which the local gateway knows the other one: 1 to 253 visible ASCII characters. */
export const PeerName = Schema.String.check(
  Schema.isPattern(/^[\x21-\x7e]{1,253}$/, { expected: "1 to 253 visible ASCII characters without spaces" })
).pipe(Schema.brand("PeerName"))

export type PeerName = typeof PeerName.Type

/** A scope-token of RFC 6749 §3.3, at most 128 characters. */
export const Scope = Schema.String.check(
  Schema.isPattern(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, {
    expected: 'a scope-token (RFC 6749): visible ASCII without space, " or \\'
  })
)

export const Scopes = Schema.Array(Scope).check(
  Schema.isMaxLength(64),
  Schema.makeFilter((scopes) => new Set(scopes).size === scopes.length, { expected: "scopes that differ" })
)

/** What the row says. `expired` is not among them: it follows from the clock. */
export const StoredStatus = Schema.Literals(["active", "suspended", "revoked"])

export const GrantStatus = Schema.Literals(["active", "suspended", "revoked", "expired"])

export type GrantStatus = typeof GrantStatus.Type

export class Grant extends Schema.Class<Grant>("Grant")({
  id: GrantId,
  subjectUserId: UserId,
  peer: PeerName,
  scopes: Scopes,
  storedStatus: StoredStatus,
  expiresAt: Schema.DateTimeUtcFromString,
  createdAt: Schema.DateTimeUtcFromString,
  revokedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  revocationReason: Schema.NullOr(Schema.String)
}) {
  /** A revoked grant stays `revoked` after its expiry; any other is `expired` from the instant `expiresAt` on. */
  statusAt(now: DateTime.Utc): GrantStatus {
    if (this.storedStatus === "revoked") return "revoked"
    return DateTime.isGreaterThanOrEqualTo(now, this.expiresAt) ? "expired" : this.storedStatus
  }
}

/** What it takes to create a grant. Without an id, a random one is chosen. */
export class NewGrant extends Schema.Class<NewGrant>("NewGrant")({
  id: Schema.optionalKey(GrantId),
  subjectUserId: UserId,
  peer: PeerName,
  scopes: Scopes,
  expiresAt: GivenInstant
}) {}
