/**
 * The files of the embedded PostgreSQL: where they lie, who may own them, and how they come to be. A cluster is made in
 * a staging directory and renamed into place, so it is there whole or not at all, with the password that belongs to it.
 */
import { randomBytes, randomUUID, createHash } from "node:crypto"
import { constants } from "node:fs"
import {
  appendFile,
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readFile,
  readdir,
  rename,
  rm,
  writeFile
} from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { EmbeddedPostgresFailed, EmbeddedPostgresUnavailable } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Redacted, Result } from "effect"
import {
  accountOf,
  accountsForNew,
  checkAccount,
  type Owner,
  type PostgresAccount
} from "./postgresAccount.ts"
import type { PostgresBinaries } from "./postgresBinaries.ts"
import { processIsRunning } from "../processIsRunning.ts"
import { runProgram } from "./runProgram.ts"

/** The major version is part of the path: a later one finds this one's data beside its own. */
const major = "17"

export const superuser = "mosaic"

export interface ClusterPaths {
  readonly root: string
  readonly cluster: string
  readonly data: string
  readonly pidFile: string
  readonly password: string
  readonly log: string
}

export const clusterPaths = (home: string): ClusterPaths => {
  const root = resolve(home, "postgres")
  const cluster = join(root, major)
  const data = join(cluster, "data")
  return {
    root,
    cluster,
    data,
    pidFile: join(data, "postmaster.pid"),
    password: join(cluster, "password"),
    log: join(root, "postgres.log")
  }
}

const failed = (paths: ClusterPaths, reason: string) => new EmbeddedPostgresFailed({ reason, log: paths.log })

/** Fails with the system's own sentence, which names the path. */
const attempt = <A>(paths: ClusterPaths, run: () => Promise<A>) =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => failed(paths, cause instanceof Error ? cause.message : String(cause))
  })

const exists = (path: string) =>
  Effect.promise(() =>
    lstat(path).then(
      () => true,
      () => false
    )
  )

/** sockaddr_un.sun_path less its final NUL: 108 bytes on Linux (unix(7)), 104 on the BSDs and macOS. */
const longestSocketPath = process.platform === "linux" ? 107 : 103

export const socketPath = (directory: string): string => join(directory, ".s.PGSQL.5432")

const fits = (directory: string) => Buffer.byteLength(socketPath(directory)) <= longestSocketPath

/** Inside the cluster, or where that path is too long one in /tmp: for every process the same, whatever its TMPDIR. */
export const socketDirectory = (paths: ClusterPaths, owner: Owner): string => {
  const inside = join(paths.cluster, "run")
  if (fits(inside)) return inside
  const name = `mosaic-${owner.uid}-${createHash("sha256").update(paths.cluster).digest("hex").slice(0, 16)}`
  return join("/tmp", name)
}

/**
 * Makes the directory where it is missing, and refuses any that somebody else could have put there or can look into:
 * it must be a directory itself, of this owner and of mode 0700.
 */
export const privateDirectory = Effect.fnUntraced(function* (
  paths: ClusterPaths,
  directory: string,
  { gid, uid }: Owner
) {
  yield* attempt(paths, async () => {
    const created = await mkdir(directory, { mode: 0o700 }).then(
      () => true,
      (error: NodeJS.ErrnoException) => (error.code === "EEXIST" ? false : Promise.reject(error))
    )
    if (created && uid !== process.getuid?.()) await chown(directory, uid, gid)
  })
  const status = yield* attempt(paths, () => lstat(directory))
  const mode = status.mode & 0o7777
  if (!status.isDirectory()) {
    return yield* failed(paths, `${directory} is not a directory; remove it`)
  }
  if (status.uid !== uid) {
    return yield* failed(paths, `${directory} belongs to uid ${status.uid}, not ${uid}; remove it`)
  }
  if (mode !== 0o700) {
    return yield* failed(
      paths,
      `${directory} has mode ${mode.toString(8)}; others may have used it: chmod 700 ${directory}`
    )
  }
})

/** The password lies beside the data that it opens. One that others may have read is refused. */
export const readPassword = Effect.fnUntraced(function* (paths: ClusterPaths) {
  const file = paths.password
  const text = yield* attempt(paths, async () => {
    const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      return { status: await handle.stat(), password: await handle.readFile("utf8") }
    } finally {
      await handle.close()
    }
  })
  const mode = text.status.mode & 0o7777
  if (!text.status.isFile() || (mode & 0o077) !== 0) {
    return yield* failed(
      paths,
      `${file} has mode ${mode.toString(8)}, so others may read it: chmod 600 ${file}`
    )
  }
  return Redacted.make(text.password.trim())
})

/** What postmaster.pid says: pid, data directory, start, port, socket directory, address, shared memory, status. */
export interface Postmaster {
  readonly pid: number
  readonly socketDirectory: string | undefined
  readonly isReady: boolean
}

export const readPostmaster = (paths: ClusterPaths): Effect.Effect<Postmaster | undefined> =>
  Effect.promise(() =>
    readFile(paths.pidFile, "utf8").then(
      (text) => {
        const lines = text.split("\n")
        const pid = Number(lines[0])
        return Number.isInteger(pid) && pid > 1
          ? {
              pid,
              socketDirectory: lines[4] === "" ? undefined : lines[4],
              isReady: lines[7]?.trim() === "ready"
            }
          : undefined
      },
      () => undefined
    )
  )

const stagingPrefix = `${major}.init-`

/** A staging directory that is older belongs to nobody, even if its maker's pid is somebody's today. */
const longestInitMillis = 10 * 60_000

/** Clears away what an initialisation that was killed has left; what still resists is left to the next start. */
const sweepStaging = (paths: ClusterPaths) =>
  attempt(paths, async () => {
    for (const name of await readdir(paths.root)) {
      if (!name.startsWith(stagingPrefix)) continue
      const path = join(paths.root, name)
      const pid = Number(name.slice(stagingPrefix.length).split("-")[0])
      const made = await lstat(path).then(
        ({ ctimeMs }) => ctimeMs,
        () => 0
      )
      if (processIsRunning(pid) && Date.now() - made < longestInitMillis) continue
      await rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 }).catch(() => undefined)
    }
  })

const syncDirectory = async (path: string) => {
  const handle = await open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const initdbArguments = (data: string, passwordFile: string) => [
  `--pgdata=${data}`,
  `--username=${superuser}`,
  `--pwfile=${passwordFile}`,
  "--auth=scram-sha-256",
  // 256 random bits need no stretching, and every connection would pay for it.
  "--set=scram_iterations=1",
  "--encoding=UTF8",
  "--locale=C",
  "--locale-provider=builtin",
  "--builtin-locale=C.UTF-8",
  "--data-checksums",
  "--wal-segsize=1",
  "--no-instructions"
]

/** Renames the finished cluster into place; false where another process was first. */
const publish = (paths: ClusterPaths, staging: string) =>
  attempt(paths, async () => {
    await syncDirectory(staging)
    const won = await rename(staging, paths.cluster).then(
      () => true,
      (error: NodeJS.ErrnoException) =>
        error.code === "ENOTEMPTY" || error.code === "EEXIST" ? false : Promise.reject(error)
    )
    if (won) await syncDirectory(paths.root)
    return won
  })

const initialiseAs = Effect.fnUntraced(function* (
  account: PostgresAccount,
  binaries: PostgresBinaries,
  paths: ClusterPaths,
  created: ReadonlyArray<string>
) {
  const staging = join(paths.root, `${stagingPrefix}${process.pid}-${randomUUID()}`)
  const data = join(staging, "data")
  const password = join(staging, "password")
  const { gid, uid } = account.owner
  yield* Effect.gen(function* () {
    yield* attempt(paths, async () => {
      await mkdir(staging, { mode: 0o700 })
      await mkdir(data, { mode: 0o700 })
      await writeFile(password, randomBytes(32).toString("base64url"), {
        mode: 0o600,
        flag: "wx",
        flush: true
      })
      if (!account.isOther) return
      // The other user passes through what was made here and now, and is let into nothing that was there before.
      for (const directory of [...created, staging]) await chmod(directory, 0o711)
      for (const path of [data, password]) await chown(path, uid, gid)
    })
    yield* checkAccount(account, binaries, data)
    const { code, stderr } = yield* runProgram(
      account.program(binaries.initdb, initdbArguments(data, password))
    )
    if (code !== 0) {
      // As much as the disk takes; the sentence that counts is in the error as well.
      yield* Effect.promise(() =>
        appendFile(paths.log, `${stderr}\n`, { mode: 0o600 }).catch(() => undefined)
      )
      const lines = stderr.split("\n")
      const sentence = lines.find((line) => /\b(?:FATAL|PANIC|error):/.test(line)) ?? lines[0]
      return yield* failed(paths, `initdb: ${sentence?.replace(/^.*?(?=FATAL:|PANIC:|error:)/, "")}`)
    }
    if (account.isOther) {
      yield* attempt(paths, () => chown(password, process.getuid?.() ?? 0, process.getgid?.() ?? 0))
    }
    yield* publish(paths, staging)
  }).pipe(
    Effect.ensuring(
      Effect.promise(() => rm(staging, { recursive: true, force: true }).catch(() => undefined))
    )
  )
})

/** Both ends and what lies between. */
const directoriesFrom = (first: string, last: string): ReadonlyArray<string> =>
  first === last || last === dirname(last) ? [last] : [...directoriesFrom(first, dirname(last)), last]

/** Each of the accounts is tried; where none works, all of their reasons are told. */
const initialise = Effect.fn("EmbeddedPostgres.initialise")(function* (
  binaries: PostgresBinaries,
  paths: ClusterPaths
) {
  const first = yield* attempt(paths, () => mkdir(paths.root, { recursive: true, mode: 0o700 }))
  const created = first === undefined ? [] : directoriesFrom(first, paths.root)
  yield* sweepStaging(paths)
  const reasons: Array<string> = []
  for (const account of accountsForNew()) {
    const result = yield* Effect.result(initialiseAs(account, binaries, paths, created))
    if (Result.isSuccess(result) || (yield* exists(paths.cluster))) return
    if (!(result.failure instanceof EmbeddedPostgresUnavailable)) return yield* result.failure
    reasons.push(result.failure.reason)
  }
  return yield* new EmbeddedPostgresUnavailable({ reason: reasons.join("; ") })
})

/** Whoever may write into the directory could put a password and a socket of his own there. */
const refuseWritable = Effect.fnUntraced(function* (paths: ClusterPaths, directory: string) {
  const { mode } = yield* attempt(paths, () => lstat(directory))
  if ((mode & 0o022) === 0) return
  return yield* failed(
    paths,
    `${directory} has mode ${(mode & 0o7777).toString(8)}, so others may write there: chmod go-w ${directory}`
  )
})

/** The account of the cluster, which is made first where there is none. */
export const ensureCluster = Effect.fnUntraced(function* (binaries: PostgresBinaries, paths: ClusterPaths) {
  if (!(yield* exists(paths.cluster))) yield* initialise(binaries, paths)
  yield* refuseWritable(paths, paths.root)
  yield* refuseWritable(paths, paths.cluster)
  const { gid, uid } = yield* attempt(paths, () => lstat(paths.data))
  return yield* Effect.fromResult(
    Result.mapError(
      accountOf({ uid, gid }),
      (reason) => new EmbeddedPostgresUnavailable({ reason: `${dirname(paths.data)}: ${reason}` })
    )
  )
})
