/** Runs `useGrants.ts` as a process of its own, under an environment that holds what the test gives and nothing else. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { sendSignal } from "@mosaic-federation/testing/sendSignal"

export interface Said {
  readonly up?: string
  readonly found?: number
  readonly code?: string
  readonly message?: string
  readonly remediation?: string
  readonly unexpected?: string
}

export interface Exited {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly said: ReadonlyArray<Said>
}

export interface Program {
  readonly pid: number
  /** What it says next; fails where it ends without a word. */
  readonly next: () => Promise<Said>
  readonly write: (word: "find" | "end") => void
  readonly kill: (signal: NodeJS.Signals) => void
  /** Resolves once it has ended and nobody holds its output any more. */
  readonly exited: Promise<Exited>
}

export interface Options {
  readonly env: Readonly<Record<string, string>>
  readonly uid?: number
  /** Shell words in front of the program. */
  readonly limits?: string
  /** In a process group of its own, which a signal can be sent to as a terminal does. */
  readonly detached?: boolean
}

const source = fileURLToPath(new URL("useGrants.ts", import.meta.url))

const start = (kind: "command" | "server", { detached, env, limits, uid }: Options): ChildProcess => {
  const command = [process.execPath, source, kind]
  const [file, ...args] =
    limits === undefined ? command : ["sh", "-c", `${limits}; exec "$@"`, "sh", ...command]
  return spawn(file ?? "", args, {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["pipe", "pipe", "inherit"],
    detached: detached ?? false,
    ...(uid === undefined ? {} : { uid, gid: uid })
  })
}

const run = (kind: "command" | "server", options: Options): Program => {
  const child = start(kind, options)
  const said: Array<Said> = []
  const waiting: Array<PromiseWithResolvers<Said>> = []
  let taken = 0
  const { pid } = child
  if (child.stdout === null || pid === undefined) throw new Error("not started")
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith("{")) return
    const event = JSON.parse(line) as Said
    said.push(event)
    waiting.shift()?.resolve(event)
  })
  const exited = once(child, "close").then(([code, signal]): Exited => {
    for (const one of waiting)
      one.reject(new Error(`ended with ${String(code ?? signal)}: ${JSON.stringify(said)}`))
    return { code: code as number | null, signal: signal as NodeJS.Signals | null, said }
  })
  return {
    pid,
    next: () => {
      const event = said[taken]
      taken += 1
      if (event !== undefined) return Promise.resolve(event)
      const one = Promise.withResolvers<Said>()
      waiting.push(one)
      return one.promise
    },
    write: (word) => child.stdin?.write(`${word}\n`),
    kill: (signal) => void sendSignal(options.detached === true ? -pid : pid, signal),
    exited
  }
}

/** Does one thing and ends. */
export const command = (options: Options) => run("command", options)

/** Goes on until it is told to end. */
export const server = (options: Options) => run("server", options)
