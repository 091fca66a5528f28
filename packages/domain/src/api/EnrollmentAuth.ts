/** How a peer without a certificate says who it is: its enrollment token, as a bearer token (RFC 6750). */
import { Context, type Redacted } from "effect"
import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { EnrollmentTokenMalformed } from "../EnrollmentErrors.ts"
import { problems } from "./Problem.ts"

/** As it came: whether it is good for anything is known when it is redeemed. */
export class PresentedToken extends Context.Service<PresentedToken, Redacted.Redacted>()(
  "@mosaic-federation/domain/api/PresentedToken"
) {}

export class EnrollmentAuth extends HttpApiMiddleware.Service<EnrollmentAuth, { provides: PresentedToken }>()(
  "@mosaic-federation/domain/api/EnrollmentAuth",
  {
    requiredForClient: true,
    security: { enrollmentToken: HttpApiSecurity.bearer },
    error: problems([EnrollmentTokenMalformed])
  }
) {}
