/** Runs a short program to its end, on real time. */
import { spawn } from "node:child_process"
import { Effect } from "effect"

export interface Program {
  readonly file: string
  readonly args: ReadonlyArray<string>
  /** As whom, where that is somebody else; supplementary groups are dropped with it. */
  readonly uid?: number
  readonly gid?: number
}

export interface Ended {
  /** Null where a signal ended it, or where it could not be started. */
  readonly code: number | null
  /** What it wrote to stderr, or why it could not be started. */
  readonly stderr: string
}

/** PostgreSQL's programs speak the language of these; nothing else of our environment, and no secret in it, is theirs. */
export const programEnvironment = (): NodeJS.ProcessEnv => ({
  PATH: process.env["PATH"] ?? "",
  LC_ALL: "C",
  TZ: "UTC"
})

export const runProgram = ({ args, file, gid, uid }: Program): Effect.Effect<Ended> =>
  Effect.callback<Ended>((resume) => {
    const child = spawn(file, args, {
      cwd: "/",
      env: programEnvironment(),
      stdio: ["ignore", "ignore", "pipe"],
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid })
    })
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
    })
    child.once("error", (error) => resume(Effect.succeed({ code: null, stderr: error.message })))
    child.once("close", (code) => resume(Effect.succeed({ code, stderr: stderr.trim() })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })
