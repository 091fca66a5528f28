import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { makeConvoys } from "../src/internal/convoy.ts"
import { turn } from "./support/turn.ts"

/** Long enough for whoever can go on to do so: whatever goes on does it in one turn. */
const turns = Effect.repeat(turn, { times: 20 })

/** Three calls that set out together, each under way until it is told to come back. */
const setOut = Effect.gen(function* () {
  const together = makeConvoys(Duration.millis(20))
  const answers = [
    yield* Deferred.make<string, string>(),
    yield* Deferred.make<string, string>(),
    yield* Deferred.make<string, string>()
  ] as const
  const home: Array<string> = []
  const calls = yield* Effect.forEach(answers, (answer) =>
    Effect.forkChild(
      Effect.tap(together(Deferred.await(answer)), (one) => Effect.sync(() => home.push(one))),
      { startImmediately: true }
    )
  )
  yield* turns
  const [first, second, third] = calls
  if (first === undefined || second === undefined || third === undefined) return assert.fail()
  return { together, answers, home, calls: [first, second, third] as const }
})

describe("convoy", () => {
  it.effect("goes on when the last one is back", () =>
    Effect.gen(function* () {
      const { answers, home } = yield* setOut
      yield* TestClock.adjust("15 millis")
      yield* Deferred.succeed(answers[1], "second")
      yield* Deferred.succeed(answers[0], "first")
      yield* turns
      assert.deepStrictEqual(home, [])
      yield* Deferred.succeed(answers[2], "third")
      yield* turns
      assert.deepStrictEqual(home.toSorted(), ["first", "second", "third"])
    })
  )

  it.effect("waits for no longer than the first one was under way", () =>
    Effect.gen(function* () {
      const { answers, home } = yield* setOut
      yield* TestClock.adjust("5 millis")
      yield* Deferred.succeed(answers[0], "first")
      yield* turns
      yield* TestClock.adjust("4 millis")
      yield* Deferred.succeed(answers[1], "second")
      yield* turns
      assert.deepStrictEqual(home, [])
      yield* TestClock.adjust("1 millis")
      yield* turns
      assert.deepStrictEqual(home.toSorted(), ["first", "second"])
      yield* Deferred.succeed(answers[2], "third")
      yield* turns
      assert.deepStrictEqual(home.slice(2), ["third"])
    })
  )

  it.effect("waits for no longer than it may, however long the first one was under way", () =>
    Effect.gen(function* () {
      const { answers, home } = yield* setOut
      yield* TestClock.adjust("10 seconds")
      yield* Deferred.succeed(answers[0], "first")
      yield* turns
      yield* TestClock.adjust("19 millis")
      yield* turns
      assert.deepStrictEqual(home, [])
      yield* TestClock.adjust("1 millis")
      yield* turns
      assert.deepStrictEqual(home, ["first"])
    })
  )

  it.effect("lets one that fails go at once, and waits for it no more", () =>
    Effect.gen(function* () {
      const { answers, calls, home } = yield* setOut
      yield* TestClock.adjust("15 millis")
      yield* Deferred.fail(answers[0], "refused")
      assert.deepStrictEqual(yield* Fiber.await(calls[0]), Exit.fail("refused"))
      yield* Deferred.succeed(answers[1], "second")
      yield* turns
      assert.deepStrictEqual(home, [])
      yield* Fiber.interrupt(calls[2])
      yield* turns
      assert.deepStrictEqual(home, ["second"])
    })
  )

  it.effect("lets the others go when the one that keeps the time is interrupted", () =>
    Effect.gen(function* () {
      const { answers, calls, home } = yield* setOut
      yield* TestClock.adjust("15 millis")
      yield* Deferred.succeed(answers[0], "first")
      yield* turns
      yield* Deferred.succeed(answers[1], "second")
      yield* turns
      yield* Fiber.interrupt(calls[0])
      yield* turns
      assert.deepStrictEqual(home, ["second"])
    })
  )

  it.effect("waits for nobody that set out before", () =>
    Effect.gen(function* () {
      const { home, together } = yield* setOut
      assert.strictEqual(yield* together(Effect.succeed("alone")), "alone")
      assert.deepStrictEqual(home, [])
    })
  )
})
