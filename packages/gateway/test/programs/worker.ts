/**
 * A replica's task worker as a process of its own, under settings from the environment. It says when it is up; it looks
 * through the table rarely unless it is told otherwise, so that a test can tell what Valkey brought it.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Database from "@mosaic-federation/issuance/Database"
import { StepCa } from "@mosaic-federation/issuance/StepCa"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { Duration, Effect, Layer, Logger, Redacted, Result } from "effect"
import { parseQueueUrl } from "../../src/QueueUrl.ts"
import { TaskBell } from "../../src/TaskBell.ts"
import { TaskRunner } from "../../src/TaskRunner.ts"
import * as TaskWorker from "../../src/TaskWorker.ts"
import { Valkey } from "../../src/Valkey.ts"

const millis = (variable: string, standard: number) =>
  Duration.millis(Number(process.env[variable] ?? standard))

const queue = process.env["REDIS_URL"]

const layerBell =
  queue === undefined
    ? TaskBell.layerLocal
    : TaskBell.layerValkey.pipe(
        Layer.provide(
          Valkey.layer(Result.getOrThrow(parseQueueUrl(Redacted.make(queue))), {
            patience: Duration.seconds(3),
            heartbeat: Duration.millis(100)
          })
        )
      )

const layerWorker = TaskWorker.layer({
  concurrency: 2,
  lease: millis("TEST_LEASE", 1500),
  lookEvery: millis("TEST_LOOK_EVERY", 600_000)
}).pipe(
  Layer.provide([TaskRunner.layerNoDeps, layerBell]),
  Layer.provide([TaskRepo.layerNoDeps, StepCa.layer]),
  Layer.provide(Database.layer)
)

Effect.gen(function* () {
  yield* Layer.build(layerWorker)
  yield* Effect.sync(() => process.stdout.write("up\n"))
  return yield* Effect.never
}).pipe(Effect.scoped, Effect.provide(Logger.layer([Logger.consoleLogFmt])), NodeRuntime.runMain())
