/**
 * `Effect.retry`, set up once there is something to try again. To make a schedule's steps takes about twenty operations of
 * the runtime and a copy of its context, each time, and almost all calls succeed at first.
 */
import { Effect, type Schedule } from "effect"

export interface RetryOptions<E> {
  readonly schedule: Schedule.Schedule<unknown>
  /** Tries after the first one. */
  readonly times: number
  readonly while: (error: E) => boolean
}

export const retryFailed =
  <E>(options: RetryOptions<E>) =>
  <A, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.catchIf(call, options.while, (error) => {
      let failed: Effect.Effect<never, E> | undefined = Effect.fail(error)
      const next = Effect.suspend(() => {
        const current = failed ?? call
        failed = undefined
        return current
      })
      return Effect.retry(next, options)
    })
