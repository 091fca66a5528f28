/**
 * PostgreSQL 17 with pgvector and Valkey 8 from the Debian root. Each start has ports, data and passwords of its own, and
 * none outlives the test.
 */
import { randomBytes } from "node:crypto"
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { removeDirectory } from "../removeDirectory.ts"
import { Effect, Redacted } from "effect"
import { debianRoot } from "../DebianRoot.ts"
import {
  type FederatedOptions,
  FederatedPartFailed,
  type NativePostgres,
  type NativeValkey,
  type ScriptEnded
} from "../FederatedServer.ts"
import { freePort } from "../freePort.ts"
import { pause } from "./pause.ts"
import { runCommand } from "./runCommand.ts"
import { sendSignal } from "../sendSignal.ts"
import { supervise, type Supervised } from "./supervised.ts"

const host = "127.0.0.1"
const user = "mosaic"
const bin = "/usr/lib/postgresql/17/bin"

/** For one start or one command, on a machine that is busy with much else. */
const patienceMillis = 120_000

/** A folder of the root for one start, as the programs inside see it (`inside`) and as we do (`outside`). */
interface Folder {
  readonly inside: string
  readonly outside: string
}

const idIn = (root: string, name: string): number => {
  const line = readFileSync(join(root, "etc/passwd"), "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${name}:`))
  const id = Number(line?.split(":")[2])
  if (Number.isNaN(id)) throw new Error(`${root}/etc/passwd has no user ${name}`)
  return id
}

const makeFolder = (root: string, owner: string) =>
  Effect.acquireRelease(
    Effect.sync((): Folder => {
      const inside = `/srv/mosaic-${randomBytes(6).toString("hex")}`
      const outside = join(root, inside)
      mkdirSync(outside, { recursive: true, mode: 0o700 })
      const id = idIn(root, owner)
      chownSync(outside, id, id)
      return { inside, outside }
    }),
    ({ outside }) => removeDirectory(outside)
  )

const write = (folder: Folder, name: string, content: string, id: number) => {
  const path = join(folder.outside, name)
  writeFileSync(path, content, { mode: 0o600 })
  chownSync(path, id, id)
  return `${folder.inside}/${name}`
}

const environment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", HOME: "/tmp" }

const execute = (
  root: string,
  as: string,
  words: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
) =>
  runCommand({
    file: "chroot",
    args: [`--userspec=${as}:${as}`, root, ...words],
    env: { ...environment, ...env },
    cwd: "/",
    timeoutMillis: patienceMillis
  })

const inRoot = (
  root: string,
  as: string,
  words: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
) =>
  Effect.gen(function* () {
    const ended = yield* execute(root, as, words, env)
    if (ended.code === 0) return ended.stdout.trimEnd()
    return yield* new FederatedPartFailed({
      doing: words.join(" "),
      output: `${ended.stdout}${ended.stderr}`.trim()
    })
  })

/** Empty where the process is gone. */
const procFile = (name: string): string => {
  try {
    return readFileSync(join("/proc", name), "utf8")
  } catch {
    return ""
  }
}

/** Or has ended: until its parent goes on, it stays as a zombie. */
const hasStopped = (pid: number): boolean => {
  const status = procFile(`${pid}/status`)
  return status === "" || /^State:\s+[TZ]/m.test(status)
}

/** One server that can be stopped and started again on its port. */
const makeServer = Effect.fnUntraced(function* (
  root: string,
  as: string,
  words: ReadonlyArray<string>,
  folder: Folder,
  ready: Effect.Effect<unknown, FederatedPartFailed>,
  stopSignal: "SIGINT" | "SIGTERM"
) {
  const logPath = join(folder.outside, "log")
  let running: Supervised | undefined
  const start = Effect.gen(function* () {
    const until = Date.now() + patienceMillis
    for (;;) {
      if (running === undefined || !running.isRunning()) {
        // After a kill -9 the shared memory of the dead server may be in use for a moment longer.
        running = yield* supervise({
          file: "chroot",
          args: [`--userspec=${as}:${as}`, root, ...words],
          env: environment,
          cwd: "/",
          logPath
        })
      }
      if ((yield* Effect.result(ready))._tag === "Success") return
      if (Date.now() > until) {
        const output = readFileSync(logPath, "utf8").split("\n").slice(-20).join("\n")
        return yield* Effect.die(new FederatedPartFailed({ doing: words.join(" "), output }))
      }
      yield* pause(50)
    }
  })
  const end = (signal: "SIGINT" | "SIGTERM" | "SIGKILL") =>
    Effect.suspend(() => running?.end(signal) ?? Effect.void)
  const pid = () => (running?.isRunning() === true ? running.pid : undefined)
  /** Of PostgreSQL, the processes that serve its connections: they come and go while the server itself runs. */
  const childrenOf = (own: number) =>
    procFile(`${own}/task/${own}/children`).split(" ").filter(Boolean).map(Number)
  const awaitStopped = Effect.fnUntraced(function* (one: number) {
    while (!hasStopped(one)) yield* pause(5)
  })
  const freeze = Effect.gen(function* () {
    const own = pid()
    if (own === undefined) return
    sendSignal(own, "SIGSTOP")
    // From here on it starts no more of them.
    yield* awaitStopped(own)
    const children = childrenOf(own).filter((child) => sendSignal(child, "SIGSTOP"))
    yield* Effect.forEach(children, awaitStopped)
  })
  const thaw = Effect.sync(() => {
    const own = pid()
    if (own === undefined) return
    for (const one of [...childrenOf(own), own]) sendSignal(one, "SIGCONT")
  })
  yield* Effect.addFinalizer(() => end("SIGKILL"))
  yield* start
  return {
    logPath,
    start,
    stop: end(stopSignal),
    kill9: end("SIGKILL"),
    freeze,
    thaw,
    pid
  }
})

const runScript =
  (root: string, as: string, folder: Folder) =>
  (path: string, env: Readonly<Record<string, string>> = {}): Effect.Effect<ScriptEnded> =>
    Effect.suspend(() => {
      const inside = write(folder, basename(path), readFileSync(path, "utf8"), idIn(root, as))
      return Effect.map(execute(root, as, ["sh", inside], env), ({ code, stderr, stdout }) => ({
        code,
        output: `${stdout}${stderr}`.trim()
      }))
    })

const secret = () => Redacted.make(randomBytes(18).toString("base64url"))

const makePostgres = Effect.fnUntraced(function* (root: string, options: FederatedOptions) {
  const folder = yield* makeFolder(root, "postgres")
  const id = idIn(root, "postgres")
  const password = options.passwords?.postgres ?? secret()
  const port = yield* freePort
  const data = `${folder.inside}/data`
  const passwordFile = write(folder, "password", Redacted.value(password), id)
  yield* inRoot(root, "postgres", [
    `${bin}/initdb`,
    `--username=${user}`,
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--no-sync",
    "-D",
    data
  ])
  const tls =
    options.tls === undefined
      ? []
      : [
          "-c",
          "ssl=on",
          "-c",
          `ssl_cert_file=${write(folder, "server.crt", options.tls.cert, id)}`,
          "-c",
          `ssl_key_file=${write(folder, "server.key", options.tls.key, id)}`
        ]
  const env = { PGPASSWORD: Redacted.value(password), PGCONNECT_TIMEOUT: "5" }
  const psql = (database: string, sql: string) =>
    inRoot(
      root,
      "postgres",
      [
        "psql",
        "-h",
        host,
        "-p",
        String(port),
        "-U",
        user,
        "-d",
        database,
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        sql
      ],
      env
    )
  const server = yield* makeServer(
    root,
    "postgres",
    [
      `${bin}/postgres`,
      "-D",
      data,
      "-p",
      String(port),
      "-c",
      `listen_addresses=${host}`,
      "-c",
      "unix_socket_directories=",
      ...tls
    ],
    folder,
    psql("postgres", "select 1"),
    "SIGINT"
  )
  yield* psql("postgres", `create database ${user}`)
  if (options.withoutVector !== true) yield* psql(user, "create extension vector")
  const query = options.tls === undefined ? "" : "?sslmode=verify-full"
  return {
    ...server,
    host,
    port,
    password,
    url: Redacted.make(
      `postgresql://${user}:${Redacted.value(password)}@${options.tls === undefined ? host : "localhost"}:${port}/${user}${query}`
    ),
    script: runScript(root, "postgres", folder),
    exec: (sql) => Effect.orDie(psql(user, sql))
  } satisfies NativePostgres
})

const makeValkey = Effect.fnUntraced(function* (root: string, options: FederatedOptions) {
  const folder = yield* makeFolder(root, "valkey")
  const id = idIn(root, "valkey")
  const password = options.passwords?.valkey ?? secret()
  const port = yield* freePort
  const tls =
    options.tls === undefined
      ? [`port ${port}`]
      : [
          "port 0",
          `tls-port ${port}`,
          `tls-cert-file ${write(folder, "server.crt", options.tls.cert, id)}`,
          `tls-key-file ${write(folder, "server.key", options.tls.key, id)}`,
          `tls-ca-cert-file ${write(folder, "ca.crt", options.tls.cert, id)}`,
          "tls-auth-clients no"
        ]
  const settings = [
    `bind ${host}`,
    `requirepass ${Redacted.value(password)}`,
    "appendonly yes",
    `dir ${folder.inside}`,
    ...tls
  ]
  const config = write(folder, "valkey.conf", `${settings.join("\n")}\n`, id)
  const cli = (...words: ReadonlyArray<string>) =>
    inRoot(
      root,
      "valkey",
      [
        "valkey-cli",
        "-h",
        host,
        "-p",
        String(port),
        ...(options.tls === undefined ? [] : ["--tls", "--insecure"]),
        ...words
      ],
      { VALKEYCLI_AUTH: Redacted.value(password), REDISCLI_AUTH: Redacted.value(password) }
    )
  const ready = Effect.filterOrFail(
    cli("ping"),
    (answer) => answer === "PONG",
    (output) => new FederatedPartFailed({ doing: "valkey-cli ping", output })
  )
  const server = yield* makeServer(
    root,
    "valkey",
    ["/usr/bin/valkey-server", config],
    folder,
    ready,
    "SIGTERM"
  )
  const scheme = options.tls === undefined ? "redis" : "rediss"
  return {
    ...server,
    host,
    port,
    password,
    url: Redacted.make(
      `${scheme}://:${Redacted.value(password)}@${options.tls === undefined ? host : "localhost"}:${port}`
    ),
    script: runScript(root, "valkey", folder),
    command: (...words) => Effect.orDie(cli(...words))
  } satisfies NativeValkey
})

export const debianPostgres = (options: FederatedOptions) =>
  Effect.flatMap(debianRoot, (root) => makePostgres(root, options))

export const debianValkey = (options: FederatedOptions) =>
  Effect.flatMap(debianRoot, (root) => makeValkey(root, options))
