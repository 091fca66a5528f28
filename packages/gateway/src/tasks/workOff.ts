/**
 * Does what is due, once: for a command that is at the CA anyway, where no gateway may ever run. What it does not finish
 * stays for the next command or a gateway.
 */
import { randomUUID } from "node:crypto"
import { TaskRepo, WorkerId } from "@mosaic-federation/issuance/TaskRepo"
import { Effect, References } from "effect"
import { lease, TaskRunner } from "../TaskRunner.ts"

/** A person waits. */
const most = 10
const patience = "5 seconds"

export const makeWorkOff = Effect.gen(function* () {
  const tasks = yield* TaskRepo
  const runner = yield* TaskRunner
  const worker = WorkerId.make(randomUUID())
  return Effect.gen(function* () {
    yield* tasks.settleAbandoned
    const due = yield* tasks.claimDue(worker, lease, most)
    yield* Effect.forEach(due, (task) => runner.run(task, lease), { concurrency: 4, discard: true })
  }).pipe(
    Effect.timeoutOption(patience),
    Effect.ignore,
    // What is put off is on record, and tried again.
    Effect.provideService(References.MinimumLogLevel, "Error")
  )
})
