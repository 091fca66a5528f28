/**
 * Works off the tasks for as long as its scope lasts: those that somebody rang for at once, and on its own every few
 * seconds whatever is due in the table. The first makes it fast, the second makes it certain.
 */
import { randomUUID } from "node:crypto"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { type Task, TaskRepo, WorkerId } from "@mosaic-federation/issuance/TaskRepo"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Duration, Effect, Layer, Option, Random } from "effect"
import { TaskBell } from "./TaskBell.ts"
import { lease as standardLease, TaskRunner } from "./TaskRunner.ts"

export interface TaskWorkerOptions {
  /** How many tasks this process does at once of those that are rung for, and as many of those that it finds; 4 by default. */
  readonly concurrency?: number
  /** How often the table is looked through; 5 s by default. */
  readonly lookEvery?: Duration.Duration
  readonly lease?: Duration.Duration
}

/** After this pause a worker that could not reach the database tries again. */
const storagePause = Duration.seconds(1)

export const layer = ({
  concurrency = 4,
  lease = standardLease,
  lookEvery = Duration.seconds(5)
}: TaskWorkerOptions = {}) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const tasks = yield* TaskRepo
      const runner = yield* TaskRunner
      const bell = yield* TaskBell
      const worker = WorkerId.make(randomUUID())

      const run = Effect.fnUntraced(function* (task: Task) {
        const request = { requester: "gateway", requestId: task.id }
        const outcome = yield* Effect.provideService(runner.run(task, lease), CurrentRequest, request)
        if (outcome._tag === "PutOff") yield* bell.ring(outcome.id, outcome.delay)
      })

      /** Told once for each time that the database goes away. */
      let storageAway = false
      const surviving = <A>(effect: Effect.Effect<A, StorageError>) =>
        effect.pipe(
          Effect.tap(() =>
            Effect.sync(() => {
              storageAway = false
            })
          ),
          Effect.catch((error) =>
            Effect.gen(function* () {
              if (!storageAway)
                yield* Effect.logError("tasks wait: the database fails", {
                  code: error.code,
                  reason: error.message
                })
              storageAway = true
              yield* Effect.sleep(storagePause)
            })
          ),
          Effect.catchDefect((defect) => Effect.logError("a task died", { defect: String(defect) }))
        )

      const answerBell = Effect.gen(function* () {
        const id = yield* bell.next
        const task = yield* tasks.claim(id, worker, lease)
        if (Option.isSome(task)) yield* run(task.value)
      })

      /** Takes only what it does at once, so that the other replicas get their part. */
      const look: Effect.Effect<void, StorageError> = Effect.gen(function* () {
        yield* tasks.settleAbandoned
        const due = yield* tasks.claimDue(worker, lease, concurrency)
        yield* Effect.forEach(due, run, { concurrency, discard: true })
        if (due.length > 0) return yield* look
      })

      const pause = Effect.map(Random.next, (random) => Duration.times(lookEvery, 0.8 + 0.4 * random))

      yield* surviving(tasks.ensureSweep)
      yield* Effect.forkScoped(
        Effect.forever(Effect.andThen(surviving(look), Effect.flatMap(pause, Effect.sleep)))
      )
      for (let hand = 0; hand < concurrency; hand++)
        yield* Effect.forkScoped(Effect.forever(surviving(answerBell)))
    })
  )
