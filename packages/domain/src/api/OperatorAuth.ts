/** How operators say who they are: an API key or a JWT of the configured OIDC issuer, as a bearer token (RFC 6750). */
import { Context } from "effect"
import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { RateLimited, RequestInvalid } from "../RequestErrors.ts"
import {
  ApiKeyExpired,
  ApiKeyRevoked,
  ApiKeyUnknown,
  AuthenticationRequired,
  OperatorIssuerUnavailable,
  OperatorTokenRefused,
  ScopeInsufficient
} from "../ServerErrors.ts"
import { StorageError } from "../StorageErrors.ts"
import type { OperatorScope } from "./Access.ts"
import { problems } from "./Problem.ts"

export interface Operator {
  readonly scope: OperatorScope
  /** `api-key:ID` or `oidc:SUBJECT`: what ledger and audit keep. */
  readonly requester: string
}

export class CurrentOperator extends Context.Service<CurrentOperator, Operator>()(
  "@mosaic-federation/domain/api/CurrentOperator"
) {}

/** Enforces the `Access` of each endpoint that it is on. */
export class OperatorAuth extends HttpApiMiddleware.Service<OperatorAuth, { provides: CurrentOperator }>()(
  "@mosaic-federation/domain/api/OperatorAuth",
  {
    requiredForClient: true,
    security: { bearer: HttpApiSecurity.bearer },
    error: problems([
      AuthenticationRequired,
      ApiKeyUnknown,
      ApiKeyRevoked,
      ApiKeyExpired,
      OperatorTokenRefused,
      OperatorIssuerUnavailable,
      ScopeInsufficient,
      RateLimited,
      RequestInvalid,
      ...StorageError.members
    ])
  }
) {}
