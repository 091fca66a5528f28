/**
 * Traces over OTLP (HTTP, JSON) where an endpoint is set, by a client of its own. The variables are OpenTelemetry's; the
 * steps of an issuance are spans under that of their request. A collector that is away costs traces and nothing else.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { ConfigInvalid } from "@mosaic-federation/domain/ConfigurationErrors"
import { optionalSetting } from "@mosaic-federation/issuance/Setting"
import { Effect, Layer, Option } from "effect"
import { OtlpSerialization, OtlpTracer } from "effect/observability"

const readEndpoint = Effect.fnUntraced(function* (variable: string) {
  const text = yield* optionalSetting(variable)
  if (Option.isNone(text)) return Option.none<string>()
  const url = URL.parse(text.value)
  if (url?.protocol === "http:" || url?.protocol === "https:") return Option.some(text.value)
  return yield* new ConfigInvalid({
    variable,
    problem: "it is not an http or https URL",
    expects: "the OTLP endpoint of a collector, such as http://127.0.0.1:4318"
  })
})

export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const traces = yield* readEndpoint("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    const all = yield* readEndpoint("OTEL_EXPORTER_OTLP_ENDPOINT")
    const url = Option.orElse(traces, () => Option.map(all, (base) => `${base.replace(/\/$/, "")}/v1/traces`))
    if (Option.isNone(url)) return Layer.empty
    const serviceName = Option.getOrElse(yield* optionalSetting("OTEL_SERVICE_NAME"), () => "mosaic-gateway")
    return OtlpTracer.layer({
      url: url.value,
      resource: { serviceName },
      exportInterval: "1 second",
      shutdownTimeout: "3 seconds"
    }).pipe(Layer.provide(OtlpSerialization.layerJson), Layer.provide(NodeHttpClient.layerUndici))
  })
).pipe(Layer.provide(NodeFileSystem.layer))
