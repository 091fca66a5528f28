/**
 * Starts a server that cannot outlive this process, however this process ends. A shell stands between the two: it holds
 * the other end of a pipe, and ends the server once that end is closed.
 */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { Effect } from "effect"
import { sendSignal } from "../sendSignal.ts"

// A terminal's Ctrl-C does not reach them (detached): ending the server is left to its owner.
const supervisor = `
exec 3<&0
log=$1
shift
"$@" </dev/null >>"$log" 2>&1 3<&- &
child=$!
echo "$child"
( read -r _ <&3; kill "$child" ) >/dev/null 2>&1 &
exec 3<&-
wait "$child"
`

export interface SupervisedCommand {
  readonly file: string
  readonly args: ReadonlyArray<string>
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** stdout and stderr are appended to it. */
  readonly logPath: string
}

export interface Supervised {
  /** Of the server itself, not of the shell. */
  readonly pid: number
  readonly isRunning: () => boolean
  /** Sends the signal; ends when the server has. */
  readonly end: (signal: "SIGINT" | "SIGTERM" | "SIGKILL") => Effect.Effect<void>
}

const startTimeoutMillis = 120_000
/** Longer than step-ca takes to finish its open requests. */
const stopTimeoutMillis = 15_000

/** A defect where not even the shell can be started. */
export const supervise = ({ args, cwd, env, file, logPath }: SupervisedCommand): Effect.Effect<Supervised> =>
  Effect.callback<Supervised>((resume) => {
    const shell = spawn("sh", ["-c", supervisor, "sh", logPath, file, ...args], {
      cwd,
      env,
      stdio: ["pipe", "pipe", "ignore"],
      detached: true
    })
    // Neither keeps a process alive that has nothing else to do.
    shell.unref()
    const ended = new Promise<void>((resolve) => shell.once("exit", () => resolve()))
    let running = true
    void ended.finally(() => {
      running = false
      shell.stdin.destroy()
    })
    shell.once("error", (error) => resume(Effect.die(error)))
    const timer = setTimeout(
      () => resume(Effect.die(new Error(`sh did not start ${file} in time`))),
      startTimeoutMillis
    )
    createInterface({ input: shell.stdout }).once("line", (line) => {
      clearTimeout(timer)
      shell.stdout.destroy()
      const pid = Number(line)
      const end = (signal: "SIGINT" | "SIGTERM" | "SIGKILL") =>
        Effect.promise(async () => {
          if (!running) return
          // It may have ended while the shell has yet to say so.
          sendSignal(pid, signal)
          const force = setTimeout(() => sendSignal(pid, "SIGKILL"), stopTimeoutMillis)
          await ended
          clearTimeout(force)
        })
      resume(Effect.succeed({ pid, isRunning: () => running, end }))
    })
  })
