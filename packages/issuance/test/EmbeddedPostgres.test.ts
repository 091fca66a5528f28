import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile
} from "node:fs/promises"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { sendSignal } from "@mosaic-federation/testing/sendSignal"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { EmbeddedPostgres } from "../src/EmbeddedPostgres.ts"
import { processIsRunning } from "../src/processIsRunning.ts"
import { command, type Exited, type Program, server } from "./programs/Program.ts"

/** Polls a condition of the outside world: each test ends with one, and the test's own time-out bounds it. */
const until = async (condition: () => Promise<boolean> | boolean) => {
  while (!(await condition())) await delay(2)
}

const exists = (path: string) =>
  lstat(path).then(
    () => true,
    () => false
  )

const mode = async (path: string) => ((await lstat(path)).mode & 0o7777).toString(8)

/** The server's pid while there is one. */
const serverPid = async (home: string): Promise<number | undefined> => {
  const text = await readFile(join(home, "postgres/17/data/postmaster.pid"), "utf8").catch(() => "")
  const pid = Number(text.split("\n")[0])
  return pid > 1 && processIsRunning(pid) ? pid : undefined
}

/** Kills the server, which runs. Without a pid there would be a signal to all of this process's group. */
const killServer = async (home: string): Promise<number> => {
  const pid = (await serverPid(home)) ?? assert.fail("no server runs")
  sendSignal(pid, "SIGKILL")
  return pid
}

/** Its user, frozen, neither starts it again nor leaves it to the guard, which would stop it in order. */
const killWithUser = async (home: string, user: Program): Promise<number> => {
  user.kill("SIGSTOP")
  const pid = await killServer(home)
  user.kill("SIGKILL")
  await user.exited
  return pid
}

/** A directory of mode 0700. No server is left in it, whatever became of the test. */
const home = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "mosaic-test-"))),
  (path) =>
    Effect.promise(async () => {
      const pid = await serverPid(path)
      if (pid !== undefined) {
        sendSignal(pid, "SIGQUIT")
        await until(() => !processIsRunning(pid))
      }
      await rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
    })
)

const within = (test: (path: string) => Promise<void>) =>
  Effect.scoped(Effect.flatMap(home, (path) => Effect.promise(() => test(path))))

const at = (path: string, env: Readonly<Record<string, string>> = {}) => ({
  env: { MOSAIC_HOME: path, ...env }
})

const assertDone = ({ code, said }: Exited) =>
  assert.deepStrictEqual([code, said.find((one) => one.code)], [0, undefined])

const assertStopped = async (path: string) => assert.isUndefined(await serverPid(path))

const staging = async (path: string) =>
  (await readdir(join(path, "postgres"))).filter((name) => name.includes("init"))

const failure = async (exited: Promise<Exited>) => {
  const { said } = await exited
  const { code, message = "", remediation } = said.at(-1) ?? {}
  return { code, message, remediation }
}

const embedded = (path: string) =>
  Layer.unwrap(EmbeddedPostgres.use(({ connection }) => Effect.succeed(PgClient.layer(connection)))).pipe(
    Layer.provideMerge(EmbeddedPostgres.layerAt(path))
  )

const isRoot = process.getuid?.() === 0

describe("EmbeddedPostgres", () => {
  it.live("is private and durable, listens on no network, and is gone with its last user", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = yield* home
        yield* Effect.gen(function* () {
          const sql = yield* SqlClient
          const [row] = yield* sql`
            SELECT current_setting('listen_addresses') AS listens, current_setting('fsync') AS fsync,
              current_setting('synchronous_commit') AS commit, current_setting('data_checksums') AS checksums,
              current_setting('server_version_num')::int / 10000 AS major,
              (SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = current_database()) AS locale,
              (SELECT count(*)::int FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256') AS other_logins`
          assert.deepStrictEqual(row, {
            listens: "",
            fsync: "on",
            commit: "on",
            checksums: "on",
            major: 17,
            locale: "bC.UTF-8",
            other_logins: 0
          })
          const { connection } = yield* EmbeddedPostgres
          assert.isAtLeast(Buffer.from(Redacted.value(connection.password), "base64url").length, 16)
          assert.strictEqual(connection.path, join(path, "postgres/17/run/.s.PGSQL.5432"))
          const files = [
            "postgres/17",
            "postgres/17/run",
            "postgres/17/password",
            "postgres/17/data",
            "postgres/postgres.log"
          ]
          assert.deepStrictEqual(
            yield* Effect.promise(() => Promise.all(files.map((file) => mode(join(path, file))))),
            ["700", "700", "600", "700", "600"]
          )
          const socket = yield* Effect.promise(() => mode(connection.path))
          assert.strictEqual(socket, "700")
        }).pipe(Effect.provide(embedded(path)))
        yield* Effect.promise(() => assertStopped(path))
      })
    )
  )

  it.live("refuses a wrong password", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = yield* home
        const error = yield* Effect.gen(function* () {
          const { connection } = yield* EmbeddedPostgres
          const wrong = PgClient.layer({ ...connection, password: Redacted.make("wrong") })
          return yield* Effect.flip(SqlClient.use((sql) => sql`SELECT 1`).pipe(Effect.provide(wrong)))
        }).pipe(Effect.provide(EmbeddedPostgres.layerAt(path)))
        assert.strictEqual(error.reason._tag, "AuthenticationError")
      })
    )
  )

  it.live("is made once by four first users at once", () =>
    within(async (path) => {
      const all = await Promise.all([1, 2, 3, 4].map(() => command(at(path)).exited))
      all.forEach(assertDone)
      await assertStopped(path)
      assert.deepStrictEqual((await readdir(join(path, "postgres"))).sort(), ["17", "postgres.log"])
    })
  )

  it.live("serves two commands and a server whose starts and stops overlap", () =>
    within(async (path) => {
      assertDone(await command(at(path)).exited)
      for (let round = 0; round < 10; round++) {
        const long = server(at(path))
        const early = [command(at(path)), command(at(path))]
        await long.next()
        long.write("find")
        await long.next()
        long.write("end")
        // These start while the server ends, and are then the last.
        await delay(round * 3)
        const late = [command(at(path)), command(at(path))]
        const all = await Promise.all([long, ...early, ...late].map(({ exited }) => exited))
        all.forEach(assertDone)
        await assertStopped(path)
      }
    })
  )

  it.live(
    "lets the user that started it go on, where another joined first and stopped it as the last one",
    () =>
      within(async (path) => {
        assertDone(await command(at(path)).exited)
        // Frozen between its server's start and its own joining, where it is caught in time.
        const stoppedUnderIt = async () => {
          const starter = server(at(path))
          await until(async () => (await serverPid(path)) !== undefined)
          starter.kill("SIGSTOP")
          const first = await serverPid(path)
          assertDone(await command(at(path)).exited)
          const isStopped = (await serverPid(path)) !== first
          starter.kill("SIGCONT")
          await starter.next()
          starter.write("end")
          assertDone(await starter.exited)
          await assertStopped(path)
          return isStopped
        }
        await until(stoppedUnderIt)
      })
  )

  it.live("outlives a starter that is killed, and ends with the last of the others", () =>
    within(async (path) => {
      const starter = server(at(path))
      await starter.next()
      const pid = await serverPid(path)
      const other = server(at(path))
      await other.next()
      starter.kill("SIGKILL")
      await starter.exited
      assertDone(await command(at(path)).exited)
      other.write("find")
      assert.strictEqual((await other.next()).found, 3)
      assert.strictEqual(await serverPid(path), pid)
      other.write("end")
      assertDone(await other.exited)
      await assertStopped(path)
    })
  )

  it.live("ends by itself when its only user was killed, and when the last of several was", () =>
    within(async (path) => {
      const only = server(at(path))
      await only.next()
      only.kill("SIGKILL")
      await until(async () => (await serverPid(path)) === undefined)

      const [starter, other] = [server(at(path)), server(at(path))]
      await Promise.all([starter.next(), other.next()])
      // Whoever of the two brought the guard: it stays when its bringer goes.
      starter.write("end")
      assertDone(await starter.exited)
      other.write("find")
      assert.strictEqual((await other.next()).found, 3)
      other.kill("SIGKILL")
      await until(async () => (await serverPid(path)) === undefined)
      assertDone(await command(at(path)).exited)
    })
  )

  it.live("is taken over when its only user was killed", () =>
    within(async (path) => {
      for (let round = 0; round < 5; round++) {
        const only = server(at(path))
        await only.next()
        const next = command(at(path))
        await delay(round * 40)
        only.kill("SIGKILL")
        assertDone(await next.exited)
        await until(async () => (await serverPid(path)) === undefined)
      }
    })
  )

  it.live("comes back for a server when its postmaster is killed", () =>
    within(async (path) => {
      const long = server(at(path))
      await long.next()
      const first = await killServer(path)
      await until(async () => ![undefined, first].includes(await serverPid(path)))
      long.write("find")
      assert.strictEqual((await long.next()).found, 1)
      assertDone(await command(at(path)).exited)
      long.write("end")
      assertDone(await long.exited)
      await assertStopped(path)
    })
  )

  it.live("recovers from a kill of everything at once", () =>
    within(async (path) => {
      const long = server(at(path))
      await long.next()
      await killWithUser(path, long)
      assertDone(await command(at(path)).exited)
      await assertStopped(path)
    })
  )

  it.live("starts although a stale postmaster.pid names a process that lives", () =>
    within(async (path) => {
      const long = server(at(path))
      await long.next()
      const pid = await killWithUser(path, long)
      await until(() => !processIsRunning(pid))
      const stranger = spawn(process.execPath, ["-e", "process.stdin.resume()"], {
        stdio: ["pipe", "ignore", "ignore"]
      })
      for (const file of ["postgres/17/data/postmaster.pid", "postgres/17/run/.s.PGSQL.5432.lock"]) {
        const text = await readFile(join(path, file), "utf8")
        await writeFile(join(path, file), text.replace(/^\d+/, String(stranger.pid)))
      }
      assertDone(await command(at(path)).exited)
      assert.isTrue(processIsRunning(stranger.pid ?? 0))
      stranger.stdin.end()
      await assertStopped(path)
    })
  )

  it.live("leaves nothing of an initialisation that was killed in its middle", () =>
    within(async (path) => {
      const own = join(path, "home")
      const isMade = () => exists(join(own, "postgres/17"))
      // As often as it takes: whoever looks may be too slow to catch it in its middle.
      const killedInItsMiddle = async () => {
        await rm(own, { recursive: true, force: true })
        const first = command(at(own))
        await until(async () => {
          const [name] = await staging(own).catch(() => [])
          const isUnderWay =
            name !== undefined && (await exists(join(own, "postgres", name, "data/PG_VERSION")))
          return isUnderWay || (await isMade())
        })
        if (await isMade()) {
          assertDone(await first.exited)
          return false
        }
        first.kill("SIGKILL")
        await first.exited
        return !(await isMade())
      }
      await until(killedInItsMiddle)
      assertDone(await command(at(own)).exited)
      assert.deepStrictEqual(await staging(own), [])
      await assertStopped(own)
    })
  )

  it.live("closes its scope on SIGTERM and on the terminal's Ctrl-C, which others do not notice", () =>
    within(async (path) => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) {
        const interrupted = server({ ...at(path), detached: true })
        await interrupted.next()
        const pid = await serverPid(path)
        const other = server({ ...at(path), detached: true })
        await other.next()
        interrupted.kill(signal)
        await interrupted.exited
        other.write("find")
        assert.isNumber((await other.next()).found)
        assert.strictEqual(await serverPid(path), pid)
        other.kill(signal)
        await other.exited
        await assertStopped(path)
      }
    })
  )

  const short = (path: string) => {
    const name = createHash("sha256").update(join(path, "postgres/17")).digest("hex").slice(0, 16)
    return join("/tmp", `mosaic-${process.getuid?.()}-${name}`)
  }

  it.live("puts its socket into a short private directory when the home's path is long", () =>
    within(async (path) => {
      const long = join(path, "x".repeat(120))
      const program = server(at(long))
      await program.next()
      assert.strictEqual(await mode(short(long)), "700")
      assert.isTrue(await exists(join(short(long), ".s.PGSQL.5432")))
      program.write("end")
      assertDone(await program.exited)
      await assertStopped(long)
      await rm(short(long), { recursive: true })
    })
  )

  it.live("refuses a socket directory that somebody else may have prepared", () =>
    within(async (path) => {
      const long = join(path, "y".repeat(120))
      await mkdir(short(long), { mode: 0o755 })
      const open = await failure(command(at(long)).exited)
      assert.strictEqual(open.code, "EMBEDDED_POSTGRES_FAILED")
      assert.include(open.message, `${short(long)} has mode 755`)
      await rm(short(long), { recursive: true })
      await symlink(path, short(long))
      const linked = await failure(command(at(long)).exited)
      assert.include(linked.message, `${short(long)} is not a directory`)
      await rm(short(long))
    })
  )

  it.live.runIf(isRoot)("refuses a socket directory of somebody else", () =>
    within(async (path) => {
      const long = join(path, "z".repeat(120))
      await mkdir(short(long), { mode: 0o700 })
      await chown(short(long), 65_534, 65_534)
      const { message } = await failure(command(at(long)).exited)
      assert.strictEqual(message, `${short(long)} belongs to uid 65534, not 0; remove it`)
      await rm(short(long), { recursive: true })
    })
  )

  it.live.runIf(isRoot)("refuses an ordinary user a cluster of somebody else", () =>
    within(async (path) => {
      assertDone(await command(at(path)).exited)
      for (const directory of ["", "postgres", "postgres/17"]) await chmod(join(path, directory), 0o755)
      const { code, message } = await failure(command({ ...at(path), uid: 65_534 }).exited)
      assert.strictEqual(code, "EMBEDDED_POSTGRES_UNAVAILABLE")
      assert.strictEqual(
        message,
        `${join(path, "postgres/17")}: the data belong to uid 0, and this process is uid 65534`
      )
    })
  )

  it.live("refuses a password file that others may read", () =>
    within(async (path) => {
      assertDone(await command(at(path)).exited)
      const password = join(path, "postgres/17/password")
      await chmod(password, 0o644)
      assert.deepStrictEqual(await failure(command(at(path)).exited), {
        code: "EMBEDDED_POSTGRES_FAILED",
        message: `${password} has mode 644, so others may read it: chmod 600 ${password}`,
        remediation: `read ${join(path, "postgres/postgres.log")}, free disk space (df -h), or set MOSAIC_HOME to another directory or DATABASE_URL to another PostgreSQL`
      })
      await chmod(password, 0o600)
      const run = join(path, "postgres/17/run")
      await chmod(run, 0o750)
      const { message } = await failure(command(at(path)).exited)
      assert.strictEqual(message, `${run} has mode 750; others may have used it: chmod 700 ${run}`)
      await chmod(run, 0o700)
      const root = join(path, "postgres")
      await chmod(root, 0o770)
      const writable = await failure(command(at(path)).exited)
      assert.strictEqual(
        writable.message,
        `${root} has mode 770, so others may write there: chmod go-w ${root}`
      )
    })
  )

  it.live("says why where files cannot be written, and leaves nothing half made", () =>
    within(async (path) => {
      // 64 blocks of 512 bytes: no file grows beyond, as on a full disk.
      const { code, message } = await failure(command({ ...at(path), limits: "ulimit -f 64" }).exited)
      assert.strictEqual(code, "EMBEDDED_POSTGRES_FAILED")
      assert.match(message, /^initdb: /)
      assert.deepStrictEqual(await staging(path), [])
      assertDone(await command(at(path)).exited)
    })
  )

  it.live("says at once what a damaged cluster's server said", () =>
    within(async (path) => {
      assertDone(await command(at(path)).exited)
      await writeFile(join(path, "postgres/17/data/postgresql.conf"), "no_such_setting = 1\n")
      const { code, message } = await failure(command(at(path)).exited)
      assert.strictEqual(code, "EMBEDDED_POSTGRES_FAILED")
      assert.match(message, /^postgres: FATAL: {2}configuration file ".*" contains errors$/)
    })
  )

  it.live.runIf(isRoot)("runs as an ordinary user, and under a number without a name", () =>
    within(async (path) => {
      await chmod(path, 0o711)
      for (const uid of [65_534, 54_321]) {
        const own = join(path, String(uid))
        await mkdir(own, { mode: 0o700 })
        await chown(own, uid, uid)
        assertDone(await command({ ...at(own), uid }).exited)
        assert.strictEqual((await stat(join(own, "postgres/17/data"))).uid, uid)
        await assertStopped(own)
      }
    })
  )

  /** A PATH on which there is a shell and nothing else. */
  const bare = async (path: string) => {
    await mkdir(join(path, "bin"))
    await symlink("/bin/sh", join(path, "bin/sh"))
    return join(path, "bin")
  }

  it.live.runIf(isRoot)(
    "runs as an unprivileged user where root has no user namespace, if that one reaches the data",
    () =>
      within(async (path) => {
        const PATH = await bare(path)
        await chmod(path, 0o755)
        const own = join(path, "home")
        const program = server(at(own, { PATH }))
        const first = await program.next()
        assert.isString(first.up, JSON.stringify(first))
        const { uid } = await stat(join(own, "postgres/17/data"))
        assert.notStrictEqual(uid, 0)
        assert.strictEqual((await stat(join(own, "postgres/17/password"))).uid, 0)
        assert.strictEqual((await stat(`/proc/${await serverPid(own)}`)).uid, uid)
        // With unshare back the cluster stays its owner's.
        assertDone(await command(at(own)).exited)
        program.write("end")
        assertDone(await program.exited)
        assertDone(await command(at(own)).exited)
        await assertStopped(own)
      })
  )

  it.live.runIf(isRoot)("says so when the user namespace that a cluster was made in is gone", () =>
    within(async (path) => {
      assertDone(await command(at(path)).exited)
      const { code, message } = await failure(command(at(path, { PATH: await bare(path) })).exited)
      assert.strictEqual(code, "EMBEDDED_POSTGRES_UNAVAILABLE")
      assert.strictEqual(
        message,
        "PostgreSQL cannot run in a user namespace (unshare --user): spawn unshare ENOENT"
      )
    })
  )

  it.live.runIf(isRoot)("names the way out where root has neither", () =>
    within(async (path) => {
      const PATH = await bare(path)
      const { code, message, remediation } = await failure(command(at(join(path, "home"), { PATH })).exited)
      assert.strictEqual(code, "EMBEDDED_POSTGRES_UNAVAILABLE")
      assert.match(
        message,
        /^PostgreSQL cannot run in a user namespace \(unshare --user\): .*ENOENT; PostgreSQL cannot run as uid \d+: /
      )
      assert.strictEqual(
        remediation,
        "set DATABASE_URL to a PostgreSQL 17, run as an ordinary user, or set MOSAIC_HOME to a directory that such a user reaches"
      )
    })
  )
})
