/**
 * Spans for those who trace. Where nobody does, a span is seen by nobody and costs an issuance as much as half a statement
 * does: whatever runs inside of it, and every fiber that it starts, works out its references anew.
 */
import { Effect } from "effect"

/** For `Effect.fnUntraced` and `pipe`: the effect in a span of this name, if a tracer is there to take it. */
export const spanned =
  (name: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiber<A, E, R>((fiber) =>
      fiber.cache.tracer === undefined ? effect : (Effect.withSpan(effect, name) as Effect.Effect<A, E, R>)
    )
