/** Runs `programs/worker.ts` as a process, until its scope closes or the test ends it sooner. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"

const source = fileURLToPath(new URL("../programs/worker.ts", import.meta.url))

export const workerProcess = (environment: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, [source], {
        env: { PATH: process.env["PATH"], ...environment },
        stdio: ["ignore", "pipe", "inherit"]
      })
      const exited = once(child, "exit")
      const lines: Array<string> = []
      const up = Promise.withResolvers<void>()
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line === "up") up.resolve()
        else lines.push(line)
      })
      await Promise.race([
        up.promise,
        exited.then(([code]) => Promise.reject(new Error(`ended with ${String(code)}: ${lines.join("\n")}`)))
      ])
      return {
        /** What it has logged so far. */
        lines,
        end: (signal: NodeJS.Signals) =>
          Effect.promise(async () => {
            child.kill(signal)
            await exited
          })
      }
    }),
    (worker) => worker.end("SIGKILL")
  )
