import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { type End, endable, endAfter } from "../src/endable.ts"
import { turn } from "./support/turn.ts"

/** Something that can be ended, and whether anything still listens for its end. */
const makeEnd = () => {
  const calls = new Set<(error: string) => void>()
  return {
    listeners: () => calls.size,
    end: (error: string) => {
      for (const call of calls) call(error)
    },
    arm: (end: (error: string) => void) => {
      calls.add(end)
      return () => void calls.delete(end)
    }
  }
}

/** Something without an end of its own, which settles what it had begun once it is let. */
const settling = Effect.gen(function* () {
  const settled = yield* Deferred.make<void>()
  const done: Array<string> = []
  const effect = Effect.onInterrupt(Effect.never, () =>
    Effect.andThen(
      Deferred.await(settled),
      Effect.sync(() => done.push("settled"))
    )
  )
  return { done, effect, settled }
})

describe("endable", () => {
  it.effect("has the effect's own outcome, at once or later, and listens no longer", () =>
    Effect.gen(function* () {
      const { arm, listeners } = makeEnd()
      assert.strictEqual(yield* endable(Effect.succeed("at once"), arm), "at once")
      assert.strictEqual(yield* endable(Effect.as(turn, "later"), arm), "later")
      assert.deepStrictEqual(yield* Effect.exit(endable(Effect.fail("own"), arm)), Exit.fail("own"))
      assert.strictEqual(listeners(), 0)
    })
  )

  it.effect("tells the error once the effect has settled what it had begun", () =>
    Effect.gen(function* () {
      const { arm, end, listeners } = makeEnd()
      const { done, effect, settled } = yield* settling
      const fiber = yield* Effect.forkChild(endable(effect, arm), { startImmediately: true })
      end("over")
      yield* turn
      assert.isUndefined(fiber.pollUnsafe())
      yield* Deferred.succeed(settled, undefined)
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("over"))
      assert.deepStrictEqual(done, ["settled"])
      assert.strictEqual(listeners(), 0)
    })
  )

  it.effect("tells the error at once where it is settled meanwhile", () =>
    Effect.gen(function* () {
      const { done, effect, settled } = yield* settling
      let interruption: Fiber.Fiber<void> | undefined
      const arm = (end: End<string>) => {
        end("over", (interrupted) =>
          Effect.map(Effect.forkDetach(interrupted, { startImmediately: true }), (fiber) => {
            interruption = fiber
          })
        )
        return () => undefined
      }
      const told = yield* Deferred.make<string>()
      const fiber = yield* Effect.forkChild(
        endable(effect, arm).pipe(Effect.catch((error) => Deferred.succeed(told, error))),
        { startImmediately: true }
      )
      assert.strictEqual(yield* Deferred.await(told), "over")
      assert.deepStrictEqual(done, [])
      yield* Deferred.succeed(settled, undefined)
      if (interruption !== undefined) yield* Fiber.await(interruption)
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(done, ["settled"])
    })
  )

  it.effect("interrupts the effect with itself", () =>
    Effect.gen(function* () {
      const { arm, listeners } = makeEnd()
      let interrupted = false
      const effect = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const fiber = yield* Effect.forkChild(endable(effect, arm), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.isTrue(interrupted)
      assert.strictEqual(listeners(), 0)
    })
  )

  it.effect("is ended by something that is over already", () =>
    Effect.gen(function* () {
      const over = (end: (error: string) => void) => {
        end("over")
        return () => undefined
      }
      assert.deepStrictEqual(yield* Effect.exit(endable(Effect.never, over)), Exit.fail("over"))
    })
  )

  it.live("ends after a time", () =>
    Effect.gen(function* () {
      const ended = yield* Effect.exit(
        endable(
          Effect.never,
          endAfter(5, () => "too long")
        )
      )
      assert.deepStrictEqual(ended, Exit.fail("too long"))
    })
  )
})
