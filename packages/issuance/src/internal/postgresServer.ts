/**
 * Starts and stops the server process, whose own postmaster.pid sees to it that there is one at a time. When it may be
 * stopped is left to its users.
 */
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync
} from "node:fs"
import { link, readFile, rename, rm } from "node:fs/promises"
import { setTimeout as delay } from "node:timers/promises"
import { EmbeddedPostgresFailed } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Result } from "effect"
import type { PostgresAccount } from "./postgresAccount.ts"
import type { PostgresBinaries } from "./postgresBinaries.ts"
import { type ClusterPaths, readPostmaster } from "./postgresCluster.ts"
import { processIsRunning } from "../processIsRunning.ts"
import { programEnvironment } from "./runProgram.ts"

/** Real time: the server does not live by a test's clock. */
export const pause = (millis: number) =>
  Effect.promise((signal) => delay(millis, undefined, { signal }).catch(() => undefined))

const mostLogBytes = 1024 * 1024

/** One older file is kept. */
const openLog = (path: string): number => {
  const size = Result.try(() => statSync(path).size)
  if (Result.isSuccess(size) && size.success > mostLogBytes) renameSync(path, `${path}.1`)
  return openSync(
    path,
    constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600
  )
}

/** unix_socket_directories is a list: quoted, a comma in the path is part of it. */
const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`

const serverArguments = (paths: ClusterPaths, socketDirectory: string): ReadonlyArray<string> => {
  const settings = {
    listen_addresses: "",
    unix_socket_directories: quoted(socketDirectory),
    unix_socket_permissions: "0700",
    max_connections: "100",
    shared_buffers: "16MB",
    huge_pages: "off",
    jit: "off",
    // Nothing replicates, so the processes for it are not started.
    wal_level: "minimal",
    max_wal_senders: "0",
    max_logical_replication_workers: "0",
    max_wal_size: "64MB",
    log_line_prefix: "%m [%p] %e ",
    log_timezone: "UTC",
    timezone: "UTC"
  }
  return [
    "-D",
    paths.data,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
  ]
}

export interface Started {
  readonly pid: number
  readonly hasEnded: () => boolean
  /** It was told to stop, and did. */
  readonly wasStopped: () => boolean
}

/** Servers that this process started and has not yet buried. */
const children = new Set<number>()

/** In a session of its own: a terminal's Ctrl-C and hang-up do not reach it. It holds nothing of this process. */
export const startServer = (
  account: PostgresAccount,
  binaries: PostgresBinaries,
  paths: ClusterPaths,
  socketDirectory: string
) =>
  Effect.callback<Started, EmbeddedPostgresFailed>((resume) => {
    const failure = (error: Error) =>
      resume(
        Effect.fail(new EmbeddedPostgresFailed({ reason: `postgres: ${error.message}`, log: paths.log }))
      )
    const log = Result.try({ try: () => openLog(paths.log), catch: (error) => error as Error })
    if (Result.isFailure(log)) return failure(log.failure)
    const { file, args, gid, uid } = account.program(
      binaries.postgres,
      serverArguments(paths, socketDirectory)
    )
    const child = spawn(file, args, {
      cwd: "/",
      detached: true,
      env: programEnvironment(),
      stdio: ["ignore", log.success, log.success],
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid })
    })
    closeSync(log.success)
    child.unref()
    child.once("error", failure)
    child.once("spawn", () => {
      const { pid } = child
      if (pid !== undefined) {
        children.add(pid)
        child.once("exit", () => children.delete(pid))
        resume(
          Effect.succeed({
            pid,
            hasEnded: () => child.exitCode !== null || child.signalCode !== null,
            wasStopped: () => child.exitCode === 0
          })
        )
      }
    })
  })

const lastLogBytes = 8192

/** The end of the log, or of what one process wrote there. */
export const logLines = (paths: ClusterPaths, pid?: number): ReadonlyArray<string> => {
  const log = Result.getOrElse(
    Result.try(() => readFileSync(paths.log, "utf8")),
    () => ""
  )
  const lines = log
    .slice(-lastLogBytes)
    .split("\n")
    .filter((line) => line !== "")
  return pid === undefined ? lines : lines.filter((line) => line.includes(` [${pid}] `))
}

/** Whether the pid in postmaster.pid is this cluster's server: a server works in its data directory. */
export const serverIsRunning = (paths: ClusterPaths, pid: number): boolean => {
  if (!processIsRunning(pid)) return false
  if (process.platform !== "linux") return true
  const directory = Result.try(() => readlinkSync(`/proc/${pid}/cwd`))
  return Result.isFailure(directory) || directory.success === realpathSync(paths.data)
}

/** Only the file that names this pid goes; another server's that appeared in the meantime is put back. */
const removeIfNaming = async (path: string, pid: number) => {
  const aside = `${path}.${randomUUID()}`
  await rename(path, aside)
  if (Number.parseInt(await readFile(aside, "utf8"), 10) !== pid) await link(aside, path)
  await rm(aside)
}

/**
 * PostgreSQL takes the pid in a lock file that a crash left for a living server when it is that of any process of its
 * user, as happens after a reboot, and would not start until that process ends.
 */
export const removeStaleLocks = Effect.fnUntraced(function* (paths: ClusterPaths, socket: string) {
  const postmaster = yield* readPostmaster(paths)
  if (postmaster === undefined || !processIsRunning(postmaster.pid)) return
  if (serverIsRunning(paths, postmaster.pid)) return
  for (const path of [paths.pidFile, `${socket}.lock`]) {
    yield* Effect.promise(() => removeIfNaming(path, postmaster.pid).catch(() => undefined))
  }
})

const longestStopMillis = 30_000

/** SIGINT is PostgreSQL's fast shutdown: it ends sessions, writes everything down and goes. Waits until it is gone. */
export const stopServer = Effect.fnUntraced(function* (paths: ClusterPaths) {
  const postmaster = yield* readPostmaster(paths)
  if (postmaster === undefined || !serverIsRunning(paths, postmaster.pid)) return
  const { pid } = postmaster
  if (Result.isFailure(Result.try(() => process.kill(pid, "SIGINT")))) return
  const until = performance.now() + longestStopMillis
  while ((children.has(pid) || processIsRunning(pid)) && performance.now() < until) yield* pause(2)
})
