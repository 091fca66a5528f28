import { isCanonicalUuid } from "@mosaic-federation/x509/Uuid"
import { Schema } from "effect"

/** The id of a grant: a canonical lower-case UUID (RFC 9562 §4), 36 characters. */
export const GrantId = Schema.String.check(
  Schema.makeFilter(isCanonicalUuid, { expected: "a canonical lower-case UUID" })
).pipe(Schema.brand("GrantId"))

export type GrantId = typeof GrantId.Type

export const isGrantId = Schema.is(GrantId)
