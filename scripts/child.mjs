/** Runs other programs: their exit codes are ours, signals reach them, and none is left behind. */
import { spawn } from "node:child_process"
import { constants } from "node:os"
import { createInterface } from "node:readline"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"]

const exitCode = (code, signal) => code ?? 128 + (constants.signals[signal] ?? 0)

const forwarding = (send) => {
  for (const signal of signals) process.on(signal, send)
  return () => {
    for (const signal of signals) process.off(signal, send)
  }
}

/** Runs in the foreground, with our input and output; the exit code as a shell counts it. */
export const runToEnd = (file, args, options) =>
  new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options, stdio: "inherit" })
    // A terminal sends Ctrl-C to both of us; sent twice, it would mean "at once".
    const stop = forwarding((signal) => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal)
    })
    child.once("error", reject)
    child.once("exit", (code, signal) => {
      stop()
      resolve(exitCode(code, signal))
    })
  })

/** Runs without input and collects the output; `onLine` sees each line of it. A signal to us ends it with all its children. */
export const capture = (file, args, { onLine, timeout, ...options }) =>
  new Promise((resolve) => {
    const child = spawn(file, args, { ...options, stdio: ["ignore", "pipe", "pipe"], detached: true })
    const lines = []
    const kill = (signal) => {
      try {
        process.kill(-child.pid, signal)
      } catch {
        // It has ended by itself.
      }
    }
    const stop = forwarding((signal) => {
      kill(signal)
      child.once("close", () => process.exit(exitCode(null, signal)))
    })
    const timer = timeout === undefined ? undefined : setTimeout(kill, timeout, "SIGKILL")
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on("line", (line) => {
        lines.push(line)
        onLine?.(line)
      })
    }
    const finish = (code, output) => {
      stop()
      clearTimeout(timer)
      resolve({ code, output })
    }
    child.once("error", (error) => finish(127, error.message))
    child.once("close", (code, signal) => finish(exitCode(code, signal), lines.join("\n")))
  })
