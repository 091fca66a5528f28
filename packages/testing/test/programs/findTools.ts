/** Finds the tools in the environment that a test gives it, and says which, or why not. */
import { writeSync } from "node:fs"
import { Effect } from "effect"
import { CurrentProgress } from "../../src/Progress.ts"
import { stepTools } from "../../src/StepTools.ts"

const said: Array<string> = []

const outcome = await Effect.runPromise(
  stepTools().pipe(
    Effect.provideService(CurrentProgress, { say: (line) => said.push(line), update: () => undefined }),
    Effect.match({
      onSuccess: (tools) => ({ tools, error: undefined }),
      onFailure: ({ _tag, message }) => ({ tools: undefined, error: { _tag, message } })
    })
  )
)
writeSync(1, JSON.stringify({ ...outcome, said }))
