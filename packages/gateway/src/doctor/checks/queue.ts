/** The tasks (revocations at the CA, sweeps) are taken: none has been due for long, and none fails again and again. */
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { Effect, Layer } from "effect"
import { type Check, failedBy, remedy, warning } from "../Check.ts"
import { Subject } from "../Subject.ts"

/** A worker looks every few seconds; after this long nobody does. */
const longestWait = 300

const workCommand = "mosaic gateway serve"

export const queue: Check = {
  id: "queue",
  name: "queue",
  needs: ["schema"],
  ifSilent: () => remedy("see whether the database answers", "mosaic db status"),
  run: () =>
    Effect.gen(function* () {
      const { database } = yield* Subject
      const depth = Effect.flatMap(database, (services) =>
        TaskRepo.use((tasks) => tasks.depth).pipe(
          Effect.provide(Layer.provide(TaskRepo.layerNoDeps, Layer.succeedContext(services)))
        )
      )
      const { due, failing, oldestDueSeconds, open, running } = yield* Effect.mapError(depth, (error) =>
        failedBy(error, "mosaic db status")
      )
      const evidence = { open, due, running, failing, oldestDueSeconds }
      const detail = open === 0 ? "empty" : `${open} open, ${due} due, oldest ${oldestDueSeconds}s`
      if (oldestDueSeconds > longestWait) {
        return yield* warning({
          code: "QUEUE_NOT_WORKED_ON",
          problem: `the oldest of ${due} tasks has been due for ${oldestDueSeconds} s: nobody takes them`,
          remedy: remedy("run a gateway, whose workers do", workCommand),
          evidence,
          detail
        })
      }
      if (failing > 0) {
        return yield* warning({
          code: "QUEUE_FAILING",
          problem: `the last try of ${failing} of ${open} tasks failed; they are tried again`,
          remedy: remedy(
            "repair what the other checks name; a gateway that runs goes on with them",
            workCommand
          ),
          evidence,
          detail
        })
      }
      return { detail, evidence }
    })
}
