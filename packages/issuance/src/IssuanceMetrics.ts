/** How long the steps of an issuance take, by the name under which Prometheus gets it (docs/api.md). */
import { Clock, Context, Effect, Metric, type Result } from "effect"

/** The steps of docs/issuance.md, in their order; `ask_ca` has `sign_token` in it. */
export const timedSteps = [
  "read_csr",
  "find_grant",
  "check_grant",
  "record_intent",
  "sign_token",
  "ask_ca",
  "check_conformance",
  "record_certificate"
] as const

export type TimedStep = (typeof timedSteps)[number]

/** Each step has a metric of its own: one that is used with several attributes in turn makes its key anew each time. */
const stepDuration = (step: TimedStep) =>
  Metric.histogram("mosaic_issuance_step_duration_seconds", {
    description:
      "Seconds of each step of an issuance, failed ones too, by step; ask_ca has every retry in it, with its token",
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

/** From now on: what comes back notes the time that has passed since. */
const startedIn = (series: Metric.Metric<number, unknown>, context: Context.Context<never>) => {
  const clock = Context.get(context, Clock.Clock)
  const since = clock.currentTimeNanosUnsafe()
  return () => series.updateUnsafe(Number(clock.currentTimeNanosUnsafe() - since) / 1e9, context)
}

/** Called where a layer is built, so that there is one of each. */
const timing =
  (series: Metric.Metric<number, unknown>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.contextWith((context: Context.Context<never>) =>
      Effect.ensuring(effect, Effect.sync(startedIn(series, context)))
    )

export const timedStep = (step: TimedStep) => timing(stepDuration(step))

/** As `timedStep`, for what waits for nobody. */
export const timedResult = (step: TimedStep) => {
  const series = stepDuration(step)
  return <A, E>(work: () => Result.Result<A, E>): Effect.Effect<A, E> =>
    Effect.contextWith((context: Context.Context<never>) => {
      const ended = startedIn(series, context)
      const result = work()
      ended()
      return Effect.fromResult(result)
    })
}

export const timedCaRequest = (operation: "sign" | "revoke") => timing(caRequestDuration(operation))
