/** Starts a CA and says which, for a test that kills this process without warning. */
import { writeSync } from "node:fs"
import { Effect } from "effect"
import { StepCaProcess } from "../../src/StepCaProcess.ts"

const program = Effect.gen(function* () {
  const ca = yield* StepCaProcess.make()
  writeSync(1, `${JSON.stringify({ pid: ca.pid(), stepPath: ca.stepPath })}\n`)
  // Not for ever: what waits for nothing keeps no process alive.
  yield* Effect.sleep("10 minutes")
})

await Effect.runPromise(Effect.scoped(program))
