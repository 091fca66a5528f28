import { Duration, Effect } from "effect"

/** Until it is so, looking every 20 ms; the test's own time-out is the bound. */
export const until = <E, R>(isSo: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(isSo, (so) =>
    so ? Effect.void : Effect.andThen(Effect.sleep(Duration.millis(20)), until(isSo))
  )
