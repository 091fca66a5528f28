/** A grant on the wire: the document that `mosaic federation grant create --json` prints. */
import type { DateTime } from "effect"
import { Schema } from "effect"
import { type Grant, GrantStatus, PeerName, Scopes } from "../Grant.ts"
import { GrantId } from "../GrantId.ts"
import { UserId } from "../UserId.ts"

export const Instant = Schema.DateTimeUtcFromString

export const GrantDocument = Schema.Struct({
  id: GrantId,
  subjectUserId: UserId,
  peer: PeerName,
  scopes: Scopes,
  /** As of the answer. */
  status: GrantStatus,
  expiresAt: Instant,
  createdAt: Instant,
  revokedAt: Schema.NullOr(Instant),
  revocationReason: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Grant" })

export type GrantDocument = typeof GrantDocument.Type

export const grantDocument = (grant: Grant, now: DateTime.Utc): GrantDocument => ({
  id: grant.id,
  subjectUserId: grant.subjectUserId,
  peer: grant.peer,
  scopes: grant.scopes,
  status: grant.statusAt(now),
  expiresAt: grant.expiresAt,
  createdAt: grant.createdAt,
  revokedAt: grant.revokedAt,
  revocationReason: grant.revocationReason
})
