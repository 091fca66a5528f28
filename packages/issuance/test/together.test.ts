import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { makeTogether } from "../src/internal/together.ts"
import { turn } from "./support/turn.ts"

type Run = (calls: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<number | undefined>, string>

/** Notes what each run was called with, and what went alone. */
const recorded = (run: Run, mayBeOfOne: (error: string) => boolean = () => false) => {
  const runs: Array<ReadonlyArray<number>> = []
  const alone: Array<number> = []
  const call = makeTogether<number, number, string>({
    run: (calls) => Effect.suspend(() => (runs.push(calls), run(calls))),
    alone: (one) => Effect.sync(() => (alone.push(one), -one)),
    mayBeOfOne
  })
  return { runs, alone, call }
}

const double: Run = (calls) => Effect.succeed(calls.map((one) => one * 2))

const all = (call: (one: number) => Effect.Effect<number, string>, numbers: ReadonlyArray<number>) =>
  Effect.forEach(numbers, call, { concurrency: "unbounded" })

const until = (isSo: () => boolean) =>
  Effect.gen(function* () {
    while (!isSo()) yield* turn
  })

describe("together", () => {
  it.live("puts what comes in one turn into one run, and gives each its answer", () =>
    Effect.gen(function* () {
      const { call, runs } = recorded(double)
      assert.deepStrictEqual(yield* all(call, [1, 2, 3]), [2, 4, 6])
      assert.strictEqual(yield* call(4), 8)
      assert.deepStrictEqual(runs, [[1, 2, 3], [4]])
    })
  )

  it.live("puts what comes in the turns after into the same run", () =>
    Effect.gen(function* () {
      const { call, runs } = recorded(double)
      const first = yield* Effect.forkChild(call(1), { startImmediately: true })
      yield* turn
      assert.strictEqual(yield* call(2), 4)
      assert.strictEqual(yield* Fiber.join(first), 2)
      assert.deepStrictEqual(runs, [[1, 2]])
    })
  )

  it.live("begins two runs, and gathers what comes until one of them ends", () =>
    Effect.gen(function* () {
      const held = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const { call, runs } = recorded((calls) => {
        const hold = held[(calls[0] ?? 0) - 1]
        return Effect.andThen(hold === undefined ? Effect.void : Deferred.await(hold), double(calls))
      })
      const first = yield* Effect.forkChild(call(1))
      yield* until(() => runs.length === 1)
      const second = yield* Effect.forkChild(call(2))
      yield* until(() => runs.length === 2)
      const others: Array<Fiber.Fiber<number, string>> = []
      for (const one of [3, 4, 5]) {
        others.push(yield* Effect.forkChild(call(one)))
        yield* Effect.andThen(turn, turn)
      }
      assert.deepStrictEqual(runs, [[1], [2]])
      yield* Deferred.succeed(held[1] ?? assert.fail(), undefined)
      assert.deepStrictEqual(yield* Effect.forEach(others, Fiber.join), [6, 8, 10])
      assert.deepStrictEqual(runs, [[1], [2], [3, 4, 5]])
      assert.strictEqual(yield* Fiber.join(second), 4)
      yield* Deferred.succeed(held[0] ?? assert.fail(), undefined)
      assert.strictEqual(yield* Fiber.join(first), 2)
    })
  )

  it.live("does not let more than 64 wait", () =>
    Effect.gen(function* () {
      const { call, runs } = recorded(double)
      yield* all(
        call,
        Array.from({ length: 130 }, (_, index) => index)
      )
      assert.deepStrictEqual(
        runs.map(({ length }) => length),
        [64, 64, 2]
      )
    })
  )

  it.live("lets one go alone for which the run did nothing", () =>
    Effect.gen(function* () {
      const { alone, call } = recorded((calls) =>
        Effect.succeed(calls.map((one) => (one === 2 ? undefined : one * 2)))
      )
      assert.deepStrictEqual(yield* all(call, [1, 2, 3]), [2, -2, 6])
      assert.deepStrictEqual(alone, [2])
    })
  )

  it.live("lets each go alone after a failure that one of them may have brought about", () =>
    Effect.gen(function* () {
      const { alone, call } = recorded(
        () => Effect.fail("of one"),
        (error) => error === "of one"
      )
      assert.deepStrictEqual(yield* all(call, [1, 2, 3]), [-1, -2, -3])
      assert.deepStrictEqual(alone, [1, 2, 3])
    })
  )

  it.live("tells every other failure to all of them, and goes on", () =>
    Effect.gen(function* () {
      let isDown = true
      const { alone, call } = recorded((calls) => (isDown ? Effect.fail("away") : double(calls)))
      for (let tries = 0; tries < 3; tries++) {
        const failures = yield* Effect.forEach([1, 2], (one) => Effect.flip(call(one)), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(failures, ["away", "away"])
      }
      isDown = false
      assert.deepStrictEqual(yield* all(call, [1, 2]), [2, 4])
      assert.deepStrictEqual(alone, [])
    })
  )

  it.live("goes on without a call that was interrupted before its run, and answers the others", () =>
    Effect.gen(function* () {
      const hold = yield* Deferred.make<void>()
      const { call, runs } = recorded((calls) => Effect.andThen(Deferred.await(hold), double(calls)))
      const first = yield* Effect.forkChild(call(1))
      yield* until(() => runs.length === 1)
      const second = yield* Effect.forkChild(call(2))
      yield* until(() => runs.length === 2)
      const third = yield* Effect.forkChild(call(3))
      const fourth = yield* Effect.forkChild(call(4))
      yield* turn
      yield* Fiber.interrupt(third)
      yield* Deferred.succeed(hold, undefined)
      assert.strictEqual(yield* Fiber.join(fourth), 8)
      assert.deepStrictEqual(yield* Effect.forEach([first, second], Fiber.join), [2, 4])
      assert.deepStrictEqual(runs, [[1], [2], [4]])
    })
  )
})
