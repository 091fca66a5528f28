/** For those who run the gateway: it lives, it is ready, and what it counts. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import { LedgerGauges } from "./LedgerGauges.ts"
import { Readiness } from "./Readiness.ts"

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "health",
  Effect.fn(function* (handlers) {
    const gauges = yield* LedgerGauges
    const readiness = yield* Readiness
    return handlers.handleAll({
      healthz: () => Effect.succeed({ status: "ok" } as const),
      readyz: Effect.fnUntraced(function* () {
        const { checks, status } = yield* readiness.state
        return status === "ready" ? { status, checks } : yield* Effect.fail({ status, checks })
      }),
      metrics: () => Effect.andThen(gauges.refresh, PrometheusMetrics.format())
    })
  })
)
