/**
 * The queue as a command or a request sees it: it tries the tasks that it has just caused itself, once, and says
 * truthfully what is still open. Whatever it does not finish is left to the workers, who are rung for where there is a
 * bell.
 */
import { randomUUID } from "node:crypto"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { StepCa } from "@mosaic-federation/issuance/StepCa"
import { type TaskId, TaskRepo, WorkerId } from "@mosaic-federation/issuance/TaskRepo"
import { Context, Duration, Effect, Layer, Option, References, Result } from "effect"
import { TaskBell } from "./TaskBell.ts"
import { lease, TaskRunner } from "./TaskRunner.ts"

export interface TriedTasks {
  readonly done: number
  readonly open: number
  /** The code of the error by which the first of those that are open failed; null where none did, or a worker is at it. */
  readonly because: string | null
}

const concurrency = 4

/** A person waits; what is not done by then is left to the workers. */
const patience = "15 seconds"

export class TaskQueue extends Context.Service<
  TaskQueue,
  {
    /** Tries each of these once, those that wait for their next try included. The CA is needed only where there are any. */
    readonly tryNow: (ids: ReadonlyArray<TaskId>) => Effect.Effect<TriedTasks, StorageError>
  }
>()("@mosaic-federation/gateway/TaskQueue") {
  static readonly layerNoDeps = Layer.effect(
    TaskQueue,
    Effect.gen(function* () {
      const tasks = yield* TaskRepo
      const bell = yield* Effect.serviceOption(TaskBell)
      const worker = WorkerId.make(randomUUID())

      const runAll = Effect.fnUntraced(function* (ids: ReadonlyArray<TaskId>) {
        const runner = yield* TaskRunner
        const run = Effect.fnUntraced(function* (id: TaskId) {
          const task = yield* tasks.claim(id, worker, lease, "early")
          if (Option.isSome(task)) yield* runner.run(task.value, lease)
        })
        yield* Effect.forEach(ids, run, { concurrency, discard: true }).pipe(Effect.timeoutOption(patience))
      })

      const withCa = Effect.fnUntraced(function* (ids: ReadonlyArray<TaskId>) {
        const layer = TaskRunner.layerNoDeps.pipe(
          Layer.provide(StepCa.layer),
          Layer.provide(Layer.succeed(TaskRepo, tasks))
        )
        const built = yield* Effect.result(Layer.build(layer))
        if (Result.isFailure(built)) return built.failure.code
        yield* Effect.provide(runAll(ids), built.success)
        return null
      }, Effect.scoped)

      const tryNow = Effect.fn("TaskQueue.tryNow")(
        function* (ids: ReadonlyArray<TaskId>): Effect.fn.Return<TriedTasks, StorageError> {
          if (ids.length === 0) return { done: 0, open: 0, because: null }
          const withoutCa = yield* withCa(ids)
          const open = yield* tasks.openOf(ids)
          if (Option.isSome(bell)) {
            yield* Effect.forEach(open, ({ id }) => bell.value.ring(id, Duration.zero), { discard: true })
          }
          return {
            done: ids.length - open.length,
            open: open.length,
            because: open.length === 0 ? null : (withoutCa ?? open[0]?.errorCode ?? null)
          }
        },
        // What is put off is in the answer.
        Effect.provideService(References.MinimumLogLevel, "Error")
      )

      return TaskQueue.of({ tryNow })
    })
  )
}
