/** Runs one of the quickstart's programs as this process: progress on stderr, and failures in words, not in stacks. */
import { NodeRuntime } from "@effect/platform-node"
import { CurrentProgress, stderrProgress } from "@mosaic-federation/testing/Progress"
import { Effect } from "effect"

interface Failure {
  readonly message: string
  readonly remediation?: string
}

export const runQuickstart = <A>(program: Effect.Effect<A, Failure>): void => {
  const progress = stderrProgress()
  const report = (failure: Failure) =>
    Effect.sync(() => {
      progress.say(`\nStopped: ${failure.message}`)
      if (failure.remediation !== undefined) progress.say(`  - ${failure.remediation}`)
      process.exitCode = 1
    })
  program.pipe(Effect.catch(report), Effect.provideService(CurrentProgress, progress), NodeRuntime.runMain)
}
