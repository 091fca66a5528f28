/** A PostgreSQL 17 that listens on 127.0.0.1 with TLS, or without: what a database over a network is. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { appendFile, mkdtemp, writeFile } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort } from "@mosaic-federation/testing/freePort"
import type { ServerIdentity } from "@mosaic-federation/testing/TestPki"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { Effect, Layer, Redacted, Schedule } from "effect"
import { EmbeddedPostgres } from "../../src/EmbeddedPostgres.ts"
import { accountOf } from "../../src/internal/postgresAccount.ts"
import { postgresBinaries } from "../../src/internal/postgresBinaries.ts"
import { clusterPaths } from "../../src/internal/postgresCluster.ts"

export interface TlsPostgres {
  readonly port: number
  readonly username: string
  readonly password: string
}

const answers = (port: number) =>
  Effect.callback<void, Error>((resume) => {
    const socket = connect({ port, host: "127.0.0.1" })
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(error)))
  })

/** `identity` null: a server that has no TLS. */
export const tlsPostgres = Effect.fnUntraced(function* (identity: ServerIdentity | null) {
  const home = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "mosaic-tls-"))),
    removeDirectory
  )
  // It makes the cluster, and is gone when its scope closes.
  const { password, username } = yield* EmbeddedPostgres.use(({ connection }) =>
    Effect.succeed(connection)
  ).pipe(Effect.provide(Layer.fresh(EmbeddedPostgres.layerAt(home))))
  const paths = clusterPaths(home)
  const port = yield* freePort
  const cert = join(paths.data, "server.crt")
  const key = join(paths.data, "server.key")
  yield* Effect.promise(async () => {
    await appendFile(join(paths.data, "pg_hba.conf"), "\nhost all all 127.0.0.1/32 scram-sha-256\n")
    if (identity === null) return
    await writeFile(cert, identity.cert)
    await writeFile(key, identity.key, { mode: 0o600 })
  })
  const binaries = yield* postgresBinaries
  const account = yield* Effect.fromResult(
    accountOf({ uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 })
  )
  const { args, file, gid, uid } = account.program(binaries.postgres, [
    "-D",
    paths.data,
    "-c",
    "listen_addresses=127.0.0.1",
    "-c",
    `port=${port}`,
    "-c",
    "unix_socket_directories=",
    "-c",
    "shared_buffers=16MB",
    ...(identity === null ? [] : ["-c", "ssl=on", "-c", `ssl_cert_file=${cert}`, "-c", `ssl_key_file=${key}`])
  ])
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(file, args, {
        cwd: "/",
        stdio: "ignore",
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid })
      })
    ),
    (child) =>
      Effect.promise(async () => {
        // Fast shutdown: sessions that are open do not hold it up.
        child.kill("SIGINT")
        if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
      })
  )
  yield* answers(port).pipe(Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 2400 }))
  return { port, username, password: Redacted.value(password) } satisfies TlsPostgres
})
