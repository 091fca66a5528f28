/**
 * The operator's command after a renewal: one program and its arguments, run without a shell, so that nothing in it is
 * ever expanded or cut in two. What it needs to know comes by its environment.
 */
import { spawn } from "node:child_process"
import { join, resolve } from "node:path"
import { RenewalHookFailed } from "@mosaic-federation/domain/PeerSideErrors"
import { Effect, Option, Result } from "effect"
import { type Held, names } from "./PeerDirectory.ts"

export interface Hook {
  readonly program: string
  readonly args: ReadonlyArray<string>
}

/** What a shell would read otherwise than we do. */
const forShells = /["'`$&|;<>()*?[\]{}~#!\\\n]/

/** Words that blanks divide. What wants a shell is refused instead of being passed on as a word. */
export const parseHook = (text: string): Result.Result<Hook, string> => {
  const strange = forShells.exec(text)?.[0]
  if (strange !== undefined) {
    return Result.fail(
      `it is run without a shell and may not hold ${JSON.stringify(strange)}: put what needs one into a script`
    )
  }
  const [program, ...args] = text.split(" ").filter((word) => word !== "")
  return program === undefined ? Result.fail("it is empty") : Result.succeed({ program, args })
}

const patienceMillis = 60_000

/** Settings of ours may be secrets, and are nothing to a hook. */
const isOurs = (name: string) =>
  name.startsWith("MOSAIC_") || name.startsWith("STEP_CA_") || name === "DATABASE_URL" || name === "REDIS_URL"

const environmentFor = (directory: string, { grantId, leaf }: Held): NodeJS.ProcessEnv => {
  const at = (name: string) => join(resolve(directory), name)
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOurs(name))),
    MOSAIC_PEER_DIR: resolve(directory),
    MOSAIC_PEER_KEY: at(names.key),
    MOSAIC_PEER_CERT: at(names.certificate),
    MOSAIC_PEER_CHAIN: at(names.chain),
    MOSAIC_PEER_ROOT: at(names.root),
    MOSAIC_PEER_SERIAL: leaf.serial,
    MOSAIC_PEER_NOT_AFTER: leaf.notAfter.toISOString(),
    MOSAIC_PEER_GRANT: grantId
  }
}

const outcomeOf = (code: number | null, signal: NodeJS.Signals | null): Option.Option<string> => {
  if (code === 0) return Option.none()
  return Option.some(code === null ? `ended by ${signal ?? "a signal"}` : `exit code ${code}`)
}

/** Its output goes to standard error. It has a minute; then it is killed with all that it started. */
export const runHook = (
  { args, program }: Hook,
  directory: string,
  held: Held
): Effect.Effect<void, RenewalHookFailed> =>
  Effect.callback<void, RenewalHookFailed>((resume) => {
    const command = [program, ...args].join(" ")
    const failed = (outcome: string) => resume(Effect.fail(new RenewalHookFailed({ command, outcome })))
    const child = spawn(program, args, {
      env: environmentFor(directory, held),
      stdio: ["ignore", process.stderr, process.stderr],
      detached: true
    })
    const killAll = () => {
      if (child.pid !== undefined) Result.try(() => process.kill(-(child.pid ?? 0), "SIGKILL"))
    }
    const timer = setTimeout(() => {
      killAll()
      failed(`not done after ${patienceMillis / 1000} s, and killed`)
    }, patienceMillis)
    child.once("error", ({ code = "it cannot be started" }: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      failed(code === "ENOENT" ? "no such program" : code)
    })
    child.once("exit", (code, signal) => {
      clearTimeout(timer)
      Option.match(outcomeOf(code, signal), { onNone: () => resume(Effect.void), onSome: failed })
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      killAll()
    })
  })
