/**
 * Lets one process at a time do a long piece of work that is harmless, but wasteful, to do twice. A holder keeps the
 * lock's directory young; one that has not been touched for half a minute belongs to nobody any more.
 */
import { mkdirSync, rmSync, statSync, utimesSync } from "node:fs"
import { Effect } from "effect"
import { pause } from "./pause.ts"

const heartbeat = 2_000
const abandonedAfter = 30_000

const codeOf = (error: unknown) =>
  typeof error === "object" && error !== null && "code" in error ? error.code : undefined

const tryToTake = (directory: string): boolean => {
  try {
    mkdirSync(directory)
    return true
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error
    const touched = statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
    if (Date.now() - touched > abandonedAfter) rmSync(directory, { recursive: true, force: true })
    return false
  }
}

const touch = (directory: string) => {
  const now = new Date()
  try {
    utimesSync(directory, now, now)
  } catch {
    // Taken over while this process stood still (a suspended machine): the work goes on, and is done twice.
  }
}

/** Runs `work` while nobody else does; `onWait` runs once where somebody else is at it. */
export const withDirectoryLock = <A, E, R>(
  directory: string,
  onWait: Effect.Effect<void>,
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.gen(function* () {
      if (!tryToTake(directory)) {
        yield* onWait
        while (!tryToTake(directory)) yield* pause(200)
      }
      return setInterval(touch, heartbeat, directory).unref()
    }).pipe(Effect.interruptible),
    () => work,
    (timer) =>
      Effect.sync(() => {
        clearInterval(timer)
        rmSync(directory, { recursive: true, force: true })
      })
  )
