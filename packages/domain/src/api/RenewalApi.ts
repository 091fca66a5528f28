/** Renewal: a new certificate for a peer that proves to hold the key of the one it has. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { RenewalTooSoon } from "../PeerErrors.ts"
import { Access, peerCertificate } from "./Access.ts"
import { IssuedDocument } from "./CertificateDocument.ts"
import { CsrPem } from "./EnrollmentApi.ts"
import { issuanceErrors } from "./issuanceErrors.ts"
import { problems } from "./Problem.ts"
import { RenewalAuth } from "./RenewalAuth.ts"

export class RenewalApi extends HttpApiGroup.make("renewal")
  .add(
    HttpApiEndpoint.post("renew", "/renew", {
      headers: {
        /** A compact JWS of the certificate's key, behind a proxy that ends TLS; docs/api.md has its claims. */
        "mosaic-renewal-proof": Schema.optionalKey(Schema.String)
      },
      payload: Schema.Struct({ csr: CsrPem }),
      success: IssuedDocument.pipe(HttpApiSchema.status(201)),
      error: problems([RenewalTooSoon, ...issuanceErrors])
    }).annotate(Access, peerCertificate)
  )
  .middleware(RenewalAuth)
  .prefix("/v1")
  .annotateMerge(OpenApi.annotations({ title: "Renewal", description: "A peer's next certificate" })) {}
