import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Schedule } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { retryFailed } from "../src/internal/retryFailed.ts"

/** A call that fails with these, one after the other, and then succeeds; and the times of its tries. */
const failing = (...errors: ReadonlyArray<string>) => {
  const at: Array<number> = []
  const left = [...errors]
  const call = Effect.gen(function* () {
    at.push(yield* Clock.currentTimeMillis)
    const error = left.shift()
    return error === undefined ? "done" : yield* Effect.fail(error)
  })
  return { at, call }
}

const backoff = Schedule.exponential("50 millis", 2)

const mayPass = (error: string) => error === "passing"

const after = <A>(fiber: Fiber.Fiber<A, string>) =>
  Effect.andThen(TestClock.adjust("1 minute"), Fiber.await(fiber))

describe("retryFailed", () => {
  it.effect("tries at the same times as Effect.retry, and as often", () =>
    Effect.gen(function* () {
      const errors = ["passing", "passing", "passing", "passing", "passing"]
      const options = { schedule: backoff, times: 3, while: mayPass }
      const ours = failing(...errors)
      const theirs = failing(...errors)
      const one = yield* Effect.forkChild(retryFailed(options)(ours.call))
      const other = yield* Effect.forkChild(Effect.retry(theirs.call, options))
      assert.deepStrictEqual(yield* after(one), Exit.fail("passing"))
      assert.deepStrictEqual(yield* Fiber.await(other), Exit.fail("passing"))
      assert.deepStrictEqual(ours.at, [0, 50, 150, 350])
      assert.deepStrictEqual(theirs.at, ours.at)
    })
  )

  it.effect("makes no step of the schedule for a call that succeeds", () =>
    Effect.gen(function* () {
      let made = 0
      const counted = Schedule.fromStep(
        Effect.suspend(() => {
          made += 1
          return Schedule.toStep(backoff)
        })
      )
      const { at, call } = failing()
      const options = { schedule: counted, times: 3, while: mayPass }
      assert.strictEqual(yield* retryFailed(options)(call), "done")
      assert.deepStrictEqual([at.length, made], [1, 0])
      const again = failing("passing")
      const fiber = yield* Effect.forkChild(retryFailed(options)(again.call))
      assert.deepStrictEqual(yield* after(fiber), Exit.succeed("done"))
      assert.deepStrictEqual([again.at.length, made], [2, 1])
    })
  )

  it.effect("does not repeat what fails otherwise, at first or later", () =>
    Effect.gen(function* () {
      const options = { schedule: backoff, times: 3, while: mayPass }
      const at = failing("final")
      assert.deepStrictEqual(yield* Effect.exit(retryFailed(options)(at.call)), Exit.fail("final"))
      const later = failing("passing", "final")
      const fiber = yield* Effect.forkChild(retryFailed(options)(later.call))
      assert.deepStrictEqual(yield* after(fiber), Exit.fail("final"))
      assert.deepStrictEqual([at.at.length, later.at.length], [1, 2])
    })
  )
})
