import { runMain } from "@effect/platform-node/NodeRuntime"
import { Exit } from "effect"
import { interruptionExitCode } from "./Interruption.ts"
import { runMosaic } from "./MosaicCommand.ts"

runMain(runMosaic(process.argv.slice(2)), {
  disableErrorReporting: true,
  teardown: (exit, onExit) => {
    onExit(Exit.match(exit, { onSuccess: (code) => code as number, onFailure: interruptionExitCode }))
  }
})
