import { Duration, Schema } from "effect"
import { GrantId } from "./GrantId.ts"
import { UserId } from "./UserId.ts"

/**
 * Asks for one certificate. `csrPem` is a PKCS#10 request (RFC 2986) in PEM; it is parsed and checked by the program.
 * Without `lifetime` the certificate gets the default, or what the grant has left where that is less; a lifetime that
 * is stated is given in full or refused, never cut.
 */
export class IssueCertRequest extends Schema.Class<IssueCertRequest>("IssueCertRequest")({
  grantId: GrantId,
  subjectUserId: UserId,
  csrPem: Schema.String,
  lifetime: Schema.optionalKey(
    Schema.Duration.check(
      Schema.makeFilter((lifetime) => Duration.toMillis(lifetime) > 0, { expected: "a lifetime above zero" })
    )
  )
}) {}
