/** The HTTP API of the gateway, whole: what the server serves, the typed client calls and /openapi.json describes. */
import { HttpApi, OpenApi } from "effect/http-api"
import { AnyRequest } from "./AnyRequest.ts"
import { AuditApi } from "./AuditApi.ts"
import { CertificatesApi } from "./CertificatesApi.ts"
import { EnrollmentApi, EnrollmentTokensApi } from "./EnrollmentApi.ts"
import { GrantsApi } from "./GrantsApi.ts"
import { HealthApi } from "./HealthApi.ts"
import { IdentityApi } from "./IdentityApi.ts"
import { RenewalApi } from "./RenewalApi.ts"
import { RootsApi } from "./RootsApi.ts"

/** A misspelt `dryRun` or filter changes what a request does: it is refused. Answers may have fields that a client does not know. */
const nothingElse = { onExcessProperty: "error" } as const

export class GatewayApi extends HttpApi.make("mosaic")
  .add(GrantsApi)
  .add(EnrollmentTokensApi)
  .add(CertificatesApi)
  .add(AuditApi)
  .add(EnrollmentApi)
  .add(RenewalApi)
  .add(IdentityApi)
  .add(RootsApi)
  .add(HealthApi)
  .middleware(AnyRequest)
  .annotate(HttpApi.PayloadParseOptions, nothingElse)
  .annotate(HttpApi.QueryParseOptions, nothingElse)
  .annotateMerge(
    OpenApi.annotations({
      title: "Mosaic Federation gateway",
      version: "1",
      description:
        "Grants between gateways, and the short-lived certificates that carry them. Errors are problem details (RFC 9457)."
    })
  ) {}
