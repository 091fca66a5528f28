/** How long the steps of an issuance take, by the name under which Prometheus gets it (docs/api.md). */
import { Clock, Context, Effect, Metric } from "effect"

/** The steps of docs/issuance.md that wait for somebody, or that cost more than a comparison. */
export type TimedStep = "ask_ca" | "check_conformance" | "record_certificate"

/** Each step has a metric of its own: one that is used with several attributes in turn makes its key anew each time. */
const stepDuration = (step: TimedStep) =>
  Metric.histogram("mosaic_issuance_step_duration_seconds", {
    description:
      "Seconds of each step of an issuance, failed ones too, by step; ask_ca has every retry in it",
    boundaries: [
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
    ],
    attributes: { step }
  })

const caRequestDuration = (operation: "sign" | "revoke") =>
  Metric.histogram("mosaic_ca_request_duration_seconds", {
    description: "Seconds of one request to the CA, by operation: sign, revoke",
    boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    attributes: { operation }
  })

/** Called where a layer is built, so that there is one of each. */
const timing =
  (series: Metric.Metric<number, unknown>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.contextWith((context: Context.Context<never>) => {
      const clock = Context.get(context, Clock.Clock)
      const since = clock.currentTimeNanosUnsafe()
      return Effect.ensuring(
        effect,
        Effect.sync(() => series.updateUnsafe(Number(clock.currentTimeNanosUnsafe() - since) / 1e9, context))
      )
    })

export const timedStep = (step: TimedStep) => timing(stepDuration(step))

export const timedCaRequest = (operation: "sign" | "revoke") => timing(caRequestDuration(operation))
