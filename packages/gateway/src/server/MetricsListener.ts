/** Metrics on a loopback port of their own, for a scraper beside the gateway that has no key. It serves nothing else. */
import { createServer } from "node:http"
import { ListenFailed } from "@mosaic-federation/domain/ServerErrors"
import { Effect, Layer, Option } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { LedgerGauges } from "./LedgerGauges.ts"
import { ServerConfig } from "./ServerConfig.ts"

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { metricsListen } = yield* ServerConfig
    if (Option.isNone(metricsListen)) return
    const { host, port } = metricsListen.value
    const gauges = yield* LedgerGauges
    const run = Effect.runForkWith(yield* Effect.context())
    const answer = Effect.andThen(gauges.refresh, PrometheusMetrics.format())
    const server = createServer((request, response) => {
      if (request.method !== "GET" || request.url !== "/metrics") return void response.writeHead(404).end()
      run(
        Effect.map(answer, (text) =>
          response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(text)
        )
      )
    })
    yield* Effect.acquireRelease(
      Effect.callback<void, ListenFailed>((resume) => {
        server.once("error", ({ code = "it cannot be listened to" }: NodeJS.ErrnoException) => {
          resume(Effect.fail(new ListenFailed({ address: `${host}:${port}`, reason: code })))
        })
        server.listen(port, host, () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
    const bound = server.address()
    const url = `http://${host}:${typeof bound === "object" && bound !== null ? bound.port : port}/metrics`
    yield* Effect.logInfo("metrics without a key", { url })
  })
)
