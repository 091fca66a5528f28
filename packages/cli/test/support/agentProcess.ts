/** `mosaic federation agent` as a process, and a certificate that is due for renewal. */
import { readFileSync, writeFileSync } from "node:fs"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { join } from "node:path"
import { Effect } from "effect"
import { start, type Station } from "./mosaic.ts"

export interface LogLine extends Readonly<Record<string, unknown>> {
  readonly message: string
}

/** As if it had been received ten hours ago: its renewal is due. */
export const makeDue = (dir: string) => {
  const path = join(dir, "current", "issued.json")
  const facts = JSON.parse(readFileSync(path, "utf8")) as object
  const receivedAt = new Date(Date.now() - 36_000_000).toISOString()
  writeFileSync(path, JSON.stringify({ ...facts, receivedAt }))
}

/** Waits for its log to say something; ends with the scope. */
export const startAgent = (where: Station, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = start(where, ["federation", "agent", "--dir", "peer", ...args])
      const exited = new Promise<number | null>((resolve) => child.once("exit", resolve))
      const closed = new Promise<number | null>((resolve) => child.once("close", resolve))
      const lines: Array<string> = []
      const waiting = new Set<() => void>()
      const changed = () => {
        for (const tell of waiting) tell()
      }
      createInterface({ input: child.stderr }).on("line", (text) => {
        lines.push(text)
        changed()
      })
      const began = once(createInterface({ input: child.stdout }), "line") as Promise<ReadonlyArray<string>>
      const logged = (isIt: (line: LogLine) => boolean, times = 1) =>
        Effect.callback<void>((resume) => {
          const look = () => {
            const found = lines
              .filter((text) => text.startsWith("{"))
              .filter((text) => isIt(JSON.parse(text) as LogLine))
            if (found.length < times) return
            waiting.delete(look)
            resume(Effect.void)
          }
          waiting.add(look)
          look()
        })
      return {
        lines,
        /** What it printed when it began. */
        began: Effect.promise(async () => (await began)[0] ?? ""),
        logged,
        /** By itself, with all it had to say; a hook that outlives it may speak on. */
        exited: Effect.promise(() => closed),
        end: (signal: NodeJS.Signals) =>
          Effect.promise(() => {
            child.kill(signal)
            return exited
          })
      }
    }),
    ({ end }) => end("SIGKILL")
  )

export const isRenewed = ({ message }: LogLine) => message === "the certificate is renewed"
