/**
 * A lock that dies with its process: a socket that is listened to, named after the directory's inode. On Linux the name
 * is in the abstract namespace and no file is left behind; elsewhere a file that nobody listens at any more is taken over.
 */
import { createHash } from "node:crypto"
import { statSync, unlinkSync } from "node:fs"
import { connect, createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Option, type Scope } from "effect"

export interface LockHolder {
  /** Null where it does not say, such as while it is stopped. */
  readonly pid: number | null
}

const isLinux = process.platform === "linux"

const addressOf = (directory: string) => {
  const { dev, ino } = statSync(directory, { bigint: true })
  const name = `mosaic-peer-${createHash("sha256").update(`${dev}:${ino}`).digest("hex").slice(0, 32)}`
  return isLinux ? `\0${name}` : join(tmpdir(), `${name}.sock`)
}

const silent: LockHolder = { pid: null }

/** What connecting says where nobody listens; a holder that is stopped may have no place left for one more. */
const nobody: ReadonlySet<string | undefined> = new Set(["ECONNREFUSED", "ENOENT", "ECONNRESET"])

/** The holder tells its process id to whoever connects; none where nobody listens. */
const holderAt = (address: string) =>
  Effect.callback<Option.Option<LockHolder>>((resume) => {
    let said = ""
    const socket = connect(address)
    const done = (answer: Option.Option<LockHolder>) => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.setEncoding("utf8").setTimeout(2000, () => done(Option.some(silent)))
    socket.on("data", (text: string) => {
      said += text
    })
    socket.once("end", () => done(Option.some(/^\d{1,10}$/.test(said) ? { pid: Number(said) } : silent)))
    socket.once("error", ({ code }: NodeJS.ErrnoException) =>
      done(nobody.has(code) ? Option.none() : Option.some(silent))
    )
    return Effect.sync(() => socket.destroy())
  })

const listenAt = (address: string) =>
  Effect.callback<Option.Option<Server>>((resume) => {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy())
      socket.end(String(process.pid))
    })
    server.once("error", () => resume(Effect.succeed(Option.none())))
    server.listen(address, () => resume(Effect.succeed(Option.some(server.unref()))))
  })

const take = Effect.fnUntraced(function* (address: string) {
  const first = yield* listenAt(address)
  if (Option.isSome(first) || isLinux || Option.isSome(yield* holderAt(address))) return first
  yield* Effect.ignore(Effect.try(() => unlinkSync(address)))
  return yield* listenAt(address)
})

/** The process that holds the lock of this directory, which must exist. */
export const lockHolder = (directory: string): Effect.Effect<Option.Option<LockHolder>> =>
  Effect.suspend(() => holderAt(addressOf(directory)))

/** None: it is ours, for as long as the scope. Some: the process that has it. */
export const tryLock = (directory: string): Effect.Effect<Option.Option<LockHolder>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const address = addressOf(directory)
    const held = yield* Effect.acquireRelease(take(address), (server) =>
      Effect.callback<void>((resume) => {
        if (Option.isNone(server)) return resume(Effect.void)
        server.value.close(() => resume(Effect.void))
      })
    )
    if (Option.isSome(held)) return Option.none()
    return Option.some(Option.getOrElse(yield* holderAt(address), () => silent))
  })
