/** Runs a program to its end and collects what it wrote; who interrupts it ends the program. */
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { Effect } from "effect"

export interface Command {
  readonly file: string
  readonly args: ReadonlyArray<string>
  readonly cwd?: string
  /** The whole environment, not an addition to ours. */
  readonly env?: NodeJS.ProcessEnv
  /** The program is ended when it takes longer. */
  readonly timeoutMillis?: number
  /** Called with each line of stderr as it comes. */
  readonly onStderrLine?: (line: string) => void
}

export interface Ended {
  /** Null where a signal ended it, or where it could not be started. */
  readonly code: number | null
  readonly stdout: string
  /** What it wrote to stderr, or why it could not be started. */
  readonly stderr: string
}

/** The end of a process and of its output, whether or not it could be started. */
const collect = (child: ChildProcess, onStderrLine: ((line: string) => void) | undefined) =>
  Effect.callback<Ended>((resume) => {
    const stdout: Array<string> = []
    const stderr: Array<string> = []
    child.stdout?.setEncoding("utf8").on("data", (text: string) => stdout.push(text))
    child.stderr?.setEncoding("utf8").on("data", (text: string) => stderr.push(text))
    if (child.stderr !== null && onStderrLine !== undefined) {
      createInterface({ input: child.stderr }).on("line", onStderrLine)
    }
    child.once("error", (error) => resume(Effect.succeed({ code: null, stdout: "", stderr: error.message })))
    child.once("close", (code) =>
      resume(Effect.succeed({ code, stdout: stdout.join(""), stderr: stderr.join("") }))
    )
    return Effect.sync(() => child.kill())
  })

export const runCommand = Effect.fnUntraced(function* ({
  args,
  cwd,
  env,
  file,
  onStderrLine,
  timeoutMillis
}: Command) {
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env })
  })
  // Not spawn's own timeout: its timer keeps this process waiting for a program that could not even be started.
  const timer = timeoutMillis === undefined ? undefined : setTimeout(() => child.kill(), timeoutMillis)
  return yield* Effect.ensuring(
    collect(child, onStderrLine),
    Effect.sync(() => clearTimeout(timer))
  )
})
