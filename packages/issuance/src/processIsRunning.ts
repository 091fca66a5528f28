import { readFileSync } from "node:fs"
import { Result } from "effect"

/** True while the process does anything: one that has ended and that its parent has not yet buried is gone. */
export const processIsRunning = (pid: number): boolean => {
  const signalled = Result.try({
    try: () => process.kill(pid, 0),
    catch: (error) => (error as NodeJS.ErrnoException).code
  })
  if (Result.isFailure(signalled) && signalled.failure !== "EPERM") return false
  if (process.platform !== "linux") return true
  // proc_pid_stat(5): the state follows the command's name, which may itself hold a parenthesis.
  const state = Result.try(() => readFileSync(`/proc/${pid}/stat`, "latin1")).pipe(
    Result.map((stat) => stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3))
  )
  return Result.isFailure(state) || (state.success !== "Z" && state.success !== "X")
}
