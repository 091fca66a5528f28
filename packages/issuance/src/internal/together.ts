/**
 * Puts calls that come at the same time into one run. What arrives within three turns of the event loop goes together;
 * while as many runs are under way as may be, what arrives meanwhile goes with the next one. So nobody waits by the clock
 * for company that may not come, and under load a database has one statement and one commit in place of many.
 */
import { Effect, Exit, Latch, Request, RequestResolver } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"

export interface TogetherOptions<In, Out, E> {
  /** The answers in the order of the calls; undefined where a call has to go alone, for this run did nothing for it. */
  readonly run: (calls: NonEmptyReadonlyArray<In>) => Effect.Effect<ReadonlyArray<Out | undefined>, E>
  /** May wait for as long as it has to: it holds up no other call. */
  readonly alone: (call: In) => Effect.Effect<Out, E>
  /** True of a failure that one of the calls may have brought about, after which the run did nothing for any of them. */
  readonly mayBeOfOne: (error: E) => boolean
}

/** One is on its way to the database while the other comes back. */
const mostRuns = 2

/** Turns of the event loop that a run waits for. They take no time where nothing else is to be done, and long under load. */
const threeTurns = Effect.yieldNow.pipe(Effect.andThen(Effect.yieldNow), Effect.andThen(Effect.yieldNow))

/** A run that has so many does not wait for others to end. */
const mostCalls = 64

export const makeTogether = <In, Out, E>({ alone, mayBeOfOne, run }: TogetherOptions<In, Out, E>) => {
  class Call extends Request.Class<{ readonly input: In }, Out | undefined, E> {}

  const fewRuns = Latch.makeUnsafe(true)
  let runs = 0
  const begin = Effect.sync(() => {
    runs += 1
    if (runs >= mostRuns) fewRuns.closeUnsafe()
  })
  const end = Effect.sync(() => {
    runs -= 1
    if (runs < mostRuns) fewRuns.openUnsafe()
  })

  const resolver = RequestResolver.makeWith<Call>({
    batchKey: () => Call,
    delay: Effect.andThen(threeTurns, fewRuns.await),
    collectWhile: (entries) => entries.size < mostCalls,
    runAll: (entries) => {
      const [first, ...others] = entries
      const inputs = [first.request.input, ...others.map(({ request }) => request.input)] as const
      return Effect.andThen(begin, run(inputs)).pipe(
        Effect.catchIf(mayBeOfOne, () => Effect.succeed([])),
        Effect.map((answers) => {
          for (const [index, entry] of entries.entries()) entry.completeUnsafe(Exit.succeed(answers[index]))
        }),
        Effect.ensuring(end)
      )
    }
  })

  return (input: In): Effect.Effect<Out, E> =>
    Effect.flatMap(Effect.request(new Call({ input }), resolver), (answer) =>
      answer === undefined ? alone(input) : Effect.succeed(answer)
    )
}
