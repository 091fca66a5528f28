/** An enrollment token on the wire. */
import { Schema } from "effect"
import { EnrollmentTokenStatus, Sha256Hex } from "../EnrollmentToken.ts"
import { EnrollmentTokenId } from "../EnrollmentTokenId.ts"
import { GrantId } from "../GrantId.ts"
import { SerialNumber } from "../SerialNumber.ts"
import { Instant } from "./GrantDocument.ts"

/** A token on record: there is no secret in it. */
export const TokenDocument = Schema.Struct({
  id: EnrollmentTokenId,
  grantId: GrantId,
  status: EnrollmentTokenStatus,
  keySha256: Schema.NullOr(Sha256Hex),
  createdAt: Instant,
  createdBy: Schema.String,
  expiresAt: Instant,
  revokedAt: Schema.NullOr(Instant),
  use: Schema.NullOr(
    Schema.Struct({ at: Instant, from: Schema.String, requestId: Schema.String, serial: SerialNumber })
  )
}).annotate({ identifier: "EnrollmentToken" })

export type TokenDocument = typeof TokenDocument.Type

/** With the token itself, which is shown this once. */
export const CreatedTokenDocument = Schema.Struct({
  ...TokenDocument.fields,
  token: Schema.String
}).annotate({ identifier: "CreatedEnrollmentToken" })

export const TokenPage = Schema.Struct({
  /** The newest first. */
  tokens: Schema.Array(TokenDocument)
})
