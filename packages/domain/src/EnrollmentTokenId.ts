import { isCanonicalUuid } from "@mosaic-federation/x509/Uuid"
import { Schema } from "effect"

/** The id of an enrollment token, which is no secret: a canonical lower-case UUID (RFC 9562 §4). */
export const EnrollmentTokenId = Schema.String.check(
  Schema.makeFilter(isCanonicalUuid, { expected: "a canonical lower-case UUID" })
).pipe(Schema.brand("EnrollmentTokenId"))

export type EnrollmentTokenId = typeof EnrollmentTokenId.Type
