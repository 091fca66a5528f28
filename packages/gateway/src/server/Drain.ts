/**
 * The end of a server without the loss of a request: first readiness says no, then nothing more is accepted, then what
 * is in flight is waited for, until a deadline. It counts the requests; what it means to accept none is the server's.
 */
import { Context, Deferred, Duration, Effect, Layer } from "effect"
import { ServerConfig } from "./ServerConfig.ts"

/** On a connection that is open a request may be on its way: so long after the last answer none is. */
const quiet = Duration.millis(250)

/** Requests that the deadline has ended are waited for so long here; the end of the server waits for what still settles. */
const lastWords = Duration.seconds(15)

export class Drain extends Context.Service<
  Drain,
  {
    readonly isDraining: () => boolean
    readonly inFlight: () => number
    /** Counts a request for as long as it runs. */
    readonly counted: <A, E, R>(request: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Calls when requests that are still in flight have had their time; what comes back takes the call off again. */
    readonly atDeadline: (call: () => void) => () => void
    /** Ends when nothing is in flight any more. `stopAccepting` is called once readiness had time to be seen. */
    readonly run: (stopAccepting: Effect.Effect<void>) => Effect.Effect<void>
  }
>()("@mosaic-federation/gateway/Drain") {
  static readonly layer = Layer.effect(
    Drain,
    Effect.gen(function* () {
      const { drainDelay, drainTimeout } = yield* ServerConfig
      const atDeadline = new Set<() => void>()
      let draining = false
      let isPast = false
      let inFlight = 0
      let counted = 0
      let idle: Deferred.Deferred<void> | undefined

      const leave = Effect.sync(() => {
        inFlight -= 1
        if (inFlight === 0 && idle !== undefined) Deferred.doneUnsafe(idle, Effect.void)
      })

      const untilIdle = Effect.suspend(() => {
        if (inFlight === 0) return Effect.void
        idle = Deferred.makeUnsafe<void>()
        return Deferred.await(idle)
      })

      const untilQuiet: Effect.Effect<void> = Effect.gen(function* () {
        yield* untilIdle
        const seen = counted
        yield* Effect.sleep(quiet)
        if (counted !== seen || inFlight > 0) yield* untilQuiet
      })

      return Drain.of({
        isDraining: () => draining,
        inFlight: () => inFlight,
        counted: (request) =>
          Effect.suspend(() => {
            inFlight += 1
            counted += 1
            return Effect.ensuring(request, leave)
          }),
        atDeadline: (call) => {
          if (isPast) call()
          else atDeadline.add(call)
          return () => void atDeadline.delete(call)
        },
        run: Effect.fn("Drain.run")(function* (stopAccepting: Effect.Effect<void>) {
          draining = true
          yield* Effect.logInfo("draining", { inFlight, readinessDelay: Duration.format(drainDelay) })
          yield* Effect.sleep(drainDelay)
          yield* stopAccepting
          const inTime = yield* Effect.timeoutOption(untilQuiet, drainTimeout)
          if (inTime._tag === "None") {
            yield* Effect.logWarning("the deadline ends requests in flight", { inFlight })
            isPast = true
            for (const call of atDeadline) call()
            yield* Effect.timeoutOption(untilIdle, lastWords)
          }
          yield* Effect.logInfo("drained", { inFlight })
        })
      })
    })
  )
}
