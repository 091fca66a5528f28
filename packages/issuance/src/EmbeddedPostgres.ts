/**
 * A real PostgreSQL 17 that needs no administrator: it is started by the first process that wants it, shared by all
 * that come, and stopped by the last. It listens on a Unix socket alone. docs/storage.md tells the protocol; what is
 * stored in it is left to others.
 */
import { connect, type Socket } from "node:net"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import {
  EmbeddedPostgresFailed,
  type EmbeddedPostgresUnavailable
} from "@mosaic-federation/domain/StorageErrors"
import { Context, Effect, Exit, Layer, Option, type Redacted, Result, Schedule, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { checkAccount, type PostgresAccount } from "./internal/postgresAccount.ts"
import { postgresBinaries, type PostgresBinaries } from "./internal/postgresBinaries.ts"
import {
  clusterPaths,
  type ClusterPaths,
  ensureCluster,
  privateDirectory,
  readPassword,
  readPostmaster,
  socketDirectory,
  socketPath,
  superuser
} from "./internal/postgresCluster.ts"
import {
  logLines,
  removeStaleLocks,
  pause,
  serverIsRunning,
  type Started,
  startServer,
  stopServer
} from "./internal/postgresServer.ts"
import { enter, guardBlock, leave } from "./internal/postgresLocks.ts"
import { codeOf } from "./internal/storageError.ts"
import { mosaicHome } from "./MosaicHome.ts"

export interface EmbeddedConnection {
  /** The Unix socket. */
  readonly path: string
  readonly username: string
  readonly database: string
  readonly password: Redacted.Redacted
}

type StartError = EmbeddedPostgresUnavailable | EmbeddedPostgresFailed

/** Long enough for the recovery after a crash. */
const patienceMillis = 30_000

interface Cluster {
  readonly paths: ClusterPaths
  readonly binaries: PostgresBinaries
  readonly account: PostgresAccount
  readonly password: Redacted.Redacted
  readonly socketDirectory: string
}

/** A session of this process that holds the lock: it ends with the process, however that ends. */
interface Hold {
  readonly connection: PgConnection.PgConnection
  readonly socket: Socket
  readonly scope: Scope.Closeable
}

const connectionOf = (cluster: Cluster): EmbeddedConnection => ({
  path: socketPath(cluster.socketDirectory),
  username: superuser,
  database: "postgres",
  password: cluster.password
})

const openCluster = Effect.fnUntraced(function* (home: string) {
  const binaries = yield* postgresBinaries
  const paths = clusterPaths(home)
  const account = yield* ensureCluster(binaries, paths)
  const password = yield* readPassword(paths)
  // A server that runs tells where it listens: the home may have been moved under it, or be the same by another path.
  const running = yield* readPostmaster(paths)
  const directory =
    running?.socketDirectory !== undefined && serverIsRunning(paths, running.pid)
      ? running.socketDirectory
      : socketDirectory(paths, account.owner)
  yield* privateDirectory(paths, directory, account.owner)
  return { paths, binaries, account, password, socketDirectory: directory } satisfies Cluster
})

const openSession = Effect.fnUntraced(function* (cluster: Cluster, applicationName: string) {
  const { path, ...login } = connectionOf(cluster)
  const socket = connect({ path })
  const connection = yield* PgConnection.make({
    ...login,
    applicationName,
    ssl: false,
    prepare: false,
    startupParameters: { lock_timeout: "5s" },
    stream: () => socket
  })
  return { connection, socket }
})

/**
 * The guard's session outlives this process inside the server. It is left by destroying the socket: to interrupt its
 * statement, or to say goodbye, would end it.
 */
const startGuard = (cluster: Cluster, scope: Scope.Scope) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { connection, socket } = yield* openSession(cluster, "mosaic guard")
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => socket.destroy())
      )
      yield* connection.query(guardBlock)
    })
  ).pipe(Effect.ignore, Effect.forkDetach)

const tryHold = Effect.fnUntraced(function* (cluster: Cluster) {
  const scope = yield* Scope.make()
  const hold = Effect.gen(function* () {
    const { connection, socket } = yield* openSession(cluster, "mosaic user")
    if (yield* enter(connection)) yield* startGuard(cluster, scope)
    return { connection, socket, scope } satisfies Hold
  }).pipe(Scope.provide(scope))
  return yield* hold.pipe(Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))))
})

/** Nothing listens there. */
const isAbsent = (error: SqlError) => ["ENOENT", "ECONNREFUSED"].includes(codeOf(error) ?? "")

// PostgreSQL Appendix A: admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections, lock_not_available
// (somebody has taken long to stop it). A ConnectionError is a session that broke, as with a server that stops or crashes.
const passes = new Set(["57P01", "57P02", "57P03", "53300", "55P03"])

const isPassing = (error: SqlError) =>
  error.reason._tag === "ConnectionError" || passes.has(codeOf(error) ?? "")

/** lock_file_exists: another one starts, runs, or its last sessions are still ending. */
const anotherOne = "F0001"

const failed = ({ paths }: Cluster, reason: string) => new EmbeddedPostgresFailed({ reason, log: paths.log })

/** Why a server that this process started is gone; nothing where another one is in its place. */
const whyEnded = Effect.fnUntraced(function* (cluster: Cluster, pid: number) {
  const lines = logLines(cluster.paths, pid)
  if (lines.length === 0) {
    // It did not come as far as to log: as whom it was to run is no longer possible.
    yield* checkAccount(cluster.account, cluster.binaries, cluster.paths.data)
  }
  const fatal = lines.findLast((line) => /\b(?:FATAL|PANIC):/.test(line))
  if (fatal?.includes(` ${anotherOne} `)) {
    return yield* removeStaleLocks(cluster.paths, socketPath(cluster.socketDirectory))
  }
  return yield* failed(
    cluster,
    `postgres: ${fatal?.replace(/^.*?(?=FATAL:|PANIC:)/, "") ?? "it ended without a word"}`
  )
})

/** Where it cannot even be started, the reason may be that its account can no longer be used. */
const start = ({ account, binaries, paths, socketDirectory: directory }: Cluster) =>
  startServer(account, binaries, paths, directory).pipe(
    Effect.tapError(() => checkAccount(account, binaries, paths.data))
  )

/** Waits until the server says that it is ready, or that which was started has ended, or a quarter of a second. */
const settle = Effect.fnUntraced(function* (cluster: Cluster, started: Started | undefined) {
  const until = performance.now() + 250
  yield* pause(2)
  while (performance.now() < until && !started?.hasEnded()) {
    if ((yield* readPostmaster(cluster.paths))?.isReady) return
    yield* pause(2)
  }
})

/** Joins the server, and starts it as often as it takes: another user may just be stopping it, or it may crash. */
const acquire = Effect.fn("EmbeddedPostgres.acquire")(function* (
  cluster: Cluster
): Effect.fn.Return<Hold, StartError> {
  const until = performance.now() + patienceMillis
  let started: Started | undefined
  while (true) {
    const held = yield* Effect.result(tryHold(cluster))
    if (Result.isSuccess(held)) return held.success
    const error = held.failure
    if (!isAbsent(error) && !isPassing(error)) {
      return yield* failed(cluster, `postgres refuses the login: ${String(error.reason.cause)}`)
    }
    if (performance.now() > until) {
      return yield* failed(
        cluster,
        `postgres does not answer after ${patienceMillis / 1000} s; its log ends: ${logLines(cluster.paths).slice(-3).join(" | ")}`
      )
    }
    if (started?.hasEnded()) {
      // Another user may have joined it first, and stopped it as the last one to leave.
      if (!started.wasStopped()) yield* whyEnded(cluster, started.pid)
      started = undefined
    }
    const postmaster = yield* readPostmaster(cluster.paths)
    const isRunning = postmaster !== undefined && serverIsRunning(cluster.paths, postmaster.pid)
    if (started === undefined && !isRunning) {
      yield* privateDirectory(cluster.paths, cluster.socketDirectory, cluster.account.owner)
      started = yield* start(cluster)
    }
    yield* settle(cluster, started)
  }
})

/** Stops the server if nobody else is left. */
const giveUp = Effect.fnUntraced(function* (cluster: Cluster, { connection, scope }: Hold) {
  const alone = yield* leave(connection).pipe(Effect.orElseSucceed(() => false))
  if (alone) yield* stopServer(cluster.paths)
  yield* Scope.close(scope, Exit.void)
})

/** After a crash a server may be up that this process started and does not yet hold. */
const release = Effect.fn("EmbeddedPostgres.release")(function* (cluster: Cluster, hold: Hold) {
  if (!hold.socket.closed) return yield* giveUp(cluster, hold)
  const again = yield* Effect.option(tryHold(cluster))
  if (Option.isSome(again)) yield* giveUp(cluster, again.value)
})

const closed = ({ socket }: Hold) =>
  Effect.callback<void>((resume) => {
    const done = () => resume(Effect.void)
    if (socket.closed) return done()
    socket.once("close", done)
    return Effect.sync(() => socket.off("close", done))
  })

export class EmbeddedPostgres extends Context.Service<
  EmbeddedPostgres,
  {
    /** Where it listens, for as long as the layer lives. After a crash it listens there again. */
    readonly connection: EmbeddedConnection
  }
>()("@mosaic-federation/issuance/EmbeddedPostgres") {
  /** The cluster under this directory. */
  static readonly layerAt = (home: string) =>
    Layer.effect(
      EmbeddedPostgres,
      Effect.gen(function* () {
        const cluster = yield* openCluster(home)
        let hold: Hold
        hold = yield* Effect.acquireRelease(acquire(cluster), () =>
          Effect.suspend(() => release(cluster, hold))
        )
        const again = acquire(cluster).pipe(
          Effect.tapError((error) =>
            Effect.logError("the embedded PostgreSQL does not come back", error.message)
          ),
          Effect.retry(Schedule.spaced("5 seconds"))
        )
        const watch = Effect.gen(function* () {
          while (true) {
            yield* closed(hold)
            yield* Effect.logWarning("the embedded PostgreSQL ended unexpectedly and is started again")
            hold = yield* again
          }
        })
        yield* Effect.forkScoped(watch)
        return EmbeddedPostgres.of({ connection: connectionOf(cluster) })
      })
    )

  /** The one under `MOSAIC_HOME`. */
  static readonly layer = Layer.unwrap(Effect.map(mosaicHome, this.layerAt)).pipe(
    Layer.provide(NodeFileSystem.layer)
  )
}
