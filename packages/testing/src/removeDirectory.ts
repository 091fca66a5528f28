/** Removes a directory whose last user may still be ending: a server that was left to itself writes there a moment longer. */
import { rm } from "node:fs/promises"
import { Effect } from "effect"

export const removeDirectory = (path: string): Effect.Effect<void> =>
  Effect.promise(() => rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }))
