/** The root bundle: the only thing that a peer fetches before it trusts the gateway. It holds no secret. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Access, open } from "./Access.ts"

export class RootsApi extends HttpApiGroup.make("roots")
  .add(
    HttpApiEndpoint.get("roots", "/roots", {
      /** RFC 8555 §9.1: a chain of PEM blocks. */
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "application/pem-certificate-chain" }))
    }).annotate(Access, open)
  )
  .prefix("/v1")
  .annotateMerge(
    OpenApi.annotations({ title: "Roots", description: "The root certificates of the federation" })
  ) {}
