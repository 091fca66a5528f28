/**
 * Tells workers that a task is there: which one, and each telling to one worker. It is a shortcut and no record: what it
 * loses, workers find in the table. In the federated tier the tellings go through Valkey, on the queue of
 * `effect/persistence`, so that a task goes to whichever replica has a hand free; in the local tier they stay in the
 * process.
 */
import { TaskId } from "@mosaic-federation/issuance/TaskRepo"
import { Context, type Duration, Effect, Layer, Queue, References } from "effect"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import { Valkey } from "./Valkey.ts"

export class TaskBell extends Context.Service<
  TaskBell,
  {
    /** After the commit that wrote the task. Never fails and never waits for an answer longer than Valkey's patience. */
    readonly ring: (id: TaskId, delay: Duration.Duration) => Effect.Effect<void>
    /** The next task that somebody rang for. Another worker may have done it meanwhile. */
    readonly next: Effect.Effect<TaskId>
  }
>()("@mosaic-federation/gateway/TaskBell") {
  /** Rings that nobody hears are forgotten beyond the last 10,000. */
  static readonly layerLocal = Layer.effect(
    TaskBell,
    Effect.gen(function* () {
      const rung = yield* Queue.sliding<TaskId>(10_000)
      const scope = yield* Effect.scope
      return TaskBell.of({
        ring: (id, delay) => Effect.asVoid(Effect.forkIn(Effect.delay(Queue.offer(rung, id), delay), scope)),
        next: Queue.take(rung)
      })
    })
  )

  static readonly layerValkey = Layer.effect(
    TaskBell,
    Effect.gen(function* () {
      const valkey = yield* Valkey
      const queue = yield* PersistedQueue.make({
        name: "tasks",
        schema: TaskId,
        // A telling that was taken and not acknowledged is worth little: the table has the task.
        maxAttempts: 3
      })
      const isUp = Effect.map(valkey.session, (session) => session !== undefined)
      const next: Effect.Effect<TaskId> = queue
        .take((id) => Effect.succeed(id))
        .pipe(
          // An outage is Valkey's to report.
          Effect.catchCause(() =>
            Effect.andThen(
              Effect.sleep("1 second"),
              Effect.suspend(() => next)
            )
          )
        )
      return TaskBell.of({
        ring: Effect.fn("TaskBell.ring")(function* (id: TaskId, delay: Duration.Duration) {
          if (yield* isUp) yield* Effect.ignoreCause(queue.offer(id, { delay }))
        }),
        next
      })
    })
  ).pipe(
    Layer.provide(PersistedQueue.layer),
    Layer.provide(
      PersistedQueue.layerStoreRedis({
        prefix: "mosaic:queue:",
        pollInterval: "200 millis",
        lockRefreshInterval: "5 seconds",
        lockExpiration: "15 seconds"
      })
    ),
    // The engine would repeat at every try what Valkey has told once.
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
  )
}
