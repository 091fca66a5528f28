import { isCanonicalUuid } from "@mosaic-federation/x509/Uuid"
import { Schema } from "effect"

/** The id of the local user that a grant acts for: a canonical lower-case UUID (RFC 9562 §4), 36 characters. */
export const UserId = Schema.String.check(
  Schema.makeFilter(isCanonicalUuid, { expected: "a canonical lower-case UUID" })
).pipe(Schema.brand("UserId"))

export type UserId = typeof UserId.Type
