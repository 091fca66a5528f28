/**
 * Calls that set out in the same turn of the event loop come back together: who has its answer waits a moment for those
 * that are still under way. What comes after them then goes to the database, and to the client, together as well; where
 * each came alone, nothing would bring them together again.
 */
import { Clock, Duration, Effect, Latch } from "effect"

interface Convoy {
  readonly since: number
  readonly home: Latch.Latch
  underWay: number
  isTimed: boolean
}

/**
 * Nobody waits for longer than the first one was under way, nor longer than `longest`, nor for company that may not come:
 * who set out alone goes on at once, and so does one that failed.
 */
export const makeConvoys = (longest: Duration.Duration) => {
  const longestMillis = Duration.toMillis(longest)
  let leaving: Convoy | undefined

  const join = (now: number) => {
    if (leaving === undefined) {
      leaving = { since: now, home: Latch.makeUnsafe(false), underWay: 0, isTimed: false }
      setImmediate(() => {
        leaving = undefined
      })
    }
    leaving.underWay += 1
    return leaving
  }

  /** Whoever is interrupted in here lets the others go: the flag is set where the latch is certain to be opened. */
  const keepTime = (convoy: Convoy, clock: Clock.Clock) =>
    Effect.suspend(() => {
      convoy.isTimed = true
      const millis = Math.min(longestMillis, clock.currentTimeMillisUnsafe() - convoy.since)
      return Effect.timeoutOption(convoy.home.await, millis)
    }).pipe(Effect.ensuring(convoy.home.open))

  const wait = (convoy: Convoy, clock: Clock.Clock) =>
    Effect.suspend(() =>
      convoy.isTimed || convoy.underWay === 0 ? convoy.home.await : keepTime(convoy, clock)
    )

  return <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Clock.clockWith((clock) => {
      const convoy = join(clock.currentTimeMillisUnsafe())
      const arrive = Effect.sync(() => {
        convoy.underWay -= 1
        if (convoy.underWay === 0) convoy.home.openUnsafe()
      })
      return call.pipe(
        Effect.ensuring(arrive),
        Effect.tap(() => wait(convoy, clock))
      )
    })
}
