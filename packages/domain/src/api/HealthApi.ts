/** For those who run the gateway: whether it lives, whether it should get requests, and what it counts. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Access, open, operator } from "./Access.ts"
import { OperatorAuth } from "./OperatorAuth.ts"

const CheckDocument = Schema.Struct({
  name: Schema.String,
  ok: Schema.Boolean,
  /** False: the gateway goes on without it, slower. */
  required: Schema.Boolean,
  /** The code of what stands in the way. */
  code: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Check" })

export const ReadyDocument = Schema.Struct({
  status: Schema.Literal("ready"),
  checks: Schema.Array(CheckDocument)
}).annotate({ identifier: "Ready" })

export const NotReadyDocument = Schema.Struct({
  status: Schema.Literals(["draining", "unavailable"]),
  checks: Schema.Array(CheckDocument)
}).annotate({ identifier: "NotReady" })

export class HealthApi extends HttpApiGroup.make("health", { topLevel: true })
  .add(
    HttpApiEndpoint.get("healthz", "/healthz", {
      success: Schema.Struct({ status: Schema.Literal("ok") })
    }).annotate(Access, open),
    HttpApiEndpoint.get("readyz", "/readyz", {
      success: ReadyDocument,
      error: NotReadyDocument.pipe(HttpApiSchema.status(503))
    }).annotate(Access, open),
    HttpApiEndpoint.get("metrics", "/metrics", {
      /** The Prometheus text exposition format 0.0.4. */
      success: Schema.String.pipe(
        HttpApiSchema.asText({ contentType: "text/plain; version=0.0.4; charset=utf-8" })
      )
    })
      .annotate(Access, operator("read"))
      .middleware(OperatorAuth)
  )
  .annotateMerge(OpenApi.annotations({ title: "Health", description: "For those who run the gateway" })) {}
