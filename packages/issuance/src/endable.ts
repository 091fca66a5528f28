/**
 * An effect that something beside it may end: a time limit, a server that stops. It is interrupted, and has settled what it
 * had begun, before that something's error is told. `Effect.raceFirst` and `Effect.timeoutOrElse` do the same with a fiber
 * for each side; the side that hardly ever wins needs none.
 */
import { Effect, Fiber, Function } from "effect"

/** Tells an error; `meanwhile`, where it is given, has what settles the effect, and the error is told once that ends. */
export type End<E> = (error: E, meanwhile?: (settling: Effect.Effect<void>) => Effect.Effect<unknown>) => void

/** `arm` gets the call that ends the effect, and gives back what takes that call off again. */
export const endable = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  arm: (end: End<E2>) => () => void
): Effect.Effect<A, E | E2, R> =>
  Effect.flatMap(Effect.forkChild(effect, { startImmediately: true }), (fiber) =>
    Effect.callback<A, E | E2>((resume) => {
      const disarm = arm((error, meanwhile = Function.identity) => {
        resume(Effect.andThen(meanwhile(Fiber.interrupt(fiber)), Effect.fail(error)))
      })
      fiber.addObserver((exit) => {
        disarm()
        resume(exit)
      })
      return Fiber.interrupt(fiber)
    })
  )

/** On the machine's own time, as whoever waits for it would measure it. */
export const endAfter =
  <E2>(millis: number, error: () => E2) =>
  (end: (error: E2) => void): (() => void) => {
    const timer = setTimeout(() => end(error()), millis)
    return () => clearTimeout(timer)
  }
