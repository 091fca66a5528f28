/**
 * Does one task that a worker was lent. Every kind is idempotent: a worker may die after the effect and before its
 * record, and the next one does it again. What fails is put off and stays open; nothing is ever given up.
 */
import type { Task, TaskId } from "@mosaic-federation/issuance/TaskRepo"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { StepCa } from "@mosaic-federation/issuance/StepCa"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Context, Duration, Effect, Exit, Layer, Random } from "effect"
import { backoff } from "./tasks/backoff.ts"

/** `lost`: the loan ended under the worker, and somebody else has the task. */
export type TaskOutcome =
  | { readonly _tag: "Done" }
  | {
      readonly _tag: "PutOff"
      readonly id: TaskId
      readonly errorCode: string
      readonly delay: Duration.Duration
    }
  | { readonly _tag: "Lost" }

/** How long a worker has a task before it must have said that it is alive; a dead worker's task waits this long. */
export const lease = Duration.seconds(30)

const sweepInterval = Duration.hours(1)

export class TaskRunner extends Context.Service<
  TaskRunner,
  {
    readonly run: (task: Task, lease: Duration.Duration) => Effect.Effect<TaskOutcome, StorageError>
  }
>()("@mosaic-federation/gateway/TaskRunner") {
  static readonly layerNoDeps = Layer.effect(
    TaskRunner,
    Effect.gen(function* () {
      const tasks = yield* TaskRepo
      const ca = yield* StepCa

      const done: TaskOutcome = { _tag: "Done" }
      const lost: TaskOutcome = { _tag: "Lost" }

      const putOff = Effect.fnUntraced(function* (task: Task, errorCode: string) {
        const delay = backoff(task.attempts, yield* Random.next)
        yield* tasks.retryLater(task, errorCode, delay)
        yield* Effect.logWarning("task put off", {
          task: task.id,
          kind: task.kind,
          attempts: task.attempts,
          code: errorCode,
          retryIn: Duration.format(delay)
        })
        return { _tag: "PutOff", id: task.id, errorCode, delay } satisfies TaskOutcome
      })

      const perform = Effect.fnUntraced(function* (task: Task): Effect.fn.Return<TaskOutcome, StorageError> {
        switch (task.kind) {
          case "revoke-at-ca": {
            const { reason, serial } = task.payload
            const failure = yield* ca
              .revoke(serial, reason)
              .pipe(Effect.as(undefined), Effect.catch(Effect.succeed))
            if (failure !== undefined) return yield* putOff(task, failure.code)
            yield* tasks.revokedAtCa(task)
            return done
          }
          case "expire-sweep": {
            const result = yield* tasks.sweep(task, sweepInterval)
            yield* Effect.logDebug("swept", result)
            return done
          }
        }
      })

      /** Ends only when the loan does. A database that is away for a moment may be back before the loan's end. */
      const keepLent = (task: Task, lease: Duration.Duration) =>
        Effect.gen(function* () {
          do yield* Effect.sleep(Duration.times(lease, 1 / 3))
          while (yield* Effect.orElseSucceed(tasks.renew(task, lease), () => true))
          return lost
        })

      return TaskRunner.of({
        run: Effect.fn("TaskRunner.run")((task: Task, lease: Duration.Duration) =>
          Effect.raceFirst(perform(task), keepLent(task, lease)).pipe(
            Effect.onExit((exit) =>
              Exit.isFailure(exit) && Exit.hasInterrupts(exit)
                ? Effect.ignore(Effect.timeoutOption(tasks.giveBack(task), "2 seconds"))
                : Effect.void
            )
          )
        )
      })
    })
  )
}
