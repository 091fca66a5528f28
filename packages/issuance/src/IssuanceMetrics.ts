/** How long the steps of an issuance take, by the name under which Prometheus gets it (docs/api.md). */
import { Duration, Effect, Metric } from "effect"

/** The steps of docs/issuance.md that wait for somebody, or that cost more than a comparison. */
export type TimedStep = "ask_ca" | "check_conformance" | "record_certificate"

export const stepDuration = Metric.histogram("mosaic_issuance_step_duration_seconds", {
  description: "Seconds of each step of an issuance, failed ones too, by step; ask_ca has every retry in it",
  boundaries: [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
  ]
})

export const caRequestDuration = Metric.histogram("mosaic_ca_request_duration_seconds", {
  description: "Seconds of one request to the CA, by operation: sign, revoke",
  boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
})

/** Called where a layer is built, so that the series is looked up once. */
const timing = (metric: Metric.Metric<number, unknown>, attributes: Readonly<Record<string, string>>) => {
  const series = Metric.withAttributes(metric, attributes)
  return <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.trackDuration(effect, series, Duration.toSeconds)
}

export const timedStep = (step: TimedStep) => timing(stepDuration, { step })

export const timedCaRequest = (operation: "sign" | "revoke") => timing(caRequestDuration, { operation })
