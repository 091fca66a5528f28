import { runMain } from "@effect/platform-node/NodeRuntime"
import { Exit } from "effect"
import { runMosaic } from "./MosaicCommand.ts"

/** 128 + SIGINT, as shells have it. */
const interrupted = 130

runMain(runMosaic(process.argv.slice(2)), {
  disableErrorReporting: true,
  teardown: (exit, onExit) => {
    onExit(Exit.match(exit, { onSuccess: (code) => code as number, onFailure: () => interrupted }))
  }
})
