/** Runs the operator's command that has step-ca, or the gateways, read their files again. */
import { spawn } from "node:child_process"
import { RotationReloadFailed } from "@mosaic-federation/domain/RotationErrors"
import { Duration, Effect, Option } from "effect"
import type { Phase } from "./RotationState.ts"

const reloadTimeout = Duration.seconds(60)

/** It needs none of our secrets. */
const secretVariable = /(?:_KEY_JSON|_PASSWORD|_URL|_TOKEN|_API_KEY)$/

const runShell = (command: string) =>
  Effect.callback<Option.Option<string>>((resume) => {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !secretVariable.test(name)))
    const child = spawn("sh", ["-c", command], { env, stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-2000)
    })
    child.once("error", (error) => resume(Effect.succeed(Option.some(error.message))))
    child.once("close", (code, signal) => {
      const last = said.trim().split("\n").at(-1) ?? ""
      resume(
        Effect.succeed(
          code === 0
            ? Option.none()
            : Option.some(
                `its reload command ended with ${code ?? signal ?? "nothing"}${last === "" ? "" : `: ${last}`}`
              )
        )
      )
    })
    return Effect.sync(() => child.kill())
  })

export const reload = Effect.fnUntraced(function* (
  who: "step-ca" | "gateway",
  command: string,
  phase: Phase
) {
  const failed = (reason: string) => new RotationReloadFailed({ who, phase, reason })
  const problem = yield* runShell(command).pipe(
    Effect.timeoutOrElse({
      duration: reloadTimeout,
      orElse: () => Effect.fail(failed("its reload command does not end"))
    })
  )
  if (Option.isSome(problem)) return yield* failed(problem.value)
})
