/**
 * A Debian 13 root in a folder, with PostgreSQL 17, pgvector and Valkey 8: the versions of docker-compose.federated.yml,
 * for machines without a container engine. It is built once into the cache by debootstrap; nothing of the system changes.
 */
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs"
import { delimiter, join } from "node:path"
import { Effect, Schema } from "effect"
import { cacheHome } from "./internal/cacheHome.ts"
import { withDirectoryLock } from "./internal/directoryLock.ts"
import { runCommand } from "./internal/runCommand.ts"
import { CurrentProgress } from "./Progress.ts"

const suite = "trixie"
const packages = ["postgresql-17", "postgresql-17-pgvector", "valkey-server", "valkey-tools"]

/** Has all of the root's programs, and is there only once they all are. */
const marker = "usr/bin/valkey-server"

export class DebianRootMissing extends Schema.TaggedError<DebianRootMissing>()("DebianRootMissing", {
  reason: Schema.String
}) {
  override get message() {
    return `no PostgreSQL 17 with pgvector and no Valkey 8 for tests: ${this.reason}`
  }
}

export const debianRootDirectory = () => join(cacheHome(), `debian-${suite}`)

const onPath = (program: string) =>
  [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"].some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** Why no root can be built or entered here, as far as can be told without trying; undefined where one can. */
export const debianRootObstacle = (): string | undefined => {
  if (process.platform !== "linux") return "this is not Linux"
  if (process.getuid?.() !== 0) return "only root can enter a Debian root"
  if (existsSync(join(debianRootDirectory(), marker))) return undefined
  return onPath("debootstrap") ? undefined : "debootstrap is not installed: apt-get install debootstrap"
}

/** The mirror that this machine's apt is configured with, in either of apt's two formats; debootstrap has one of its own. */
const configuredMirror = (): string | undefined => {
  const directory = "/etc/apt/sources.list.d"
  const files = [
    "/etc/apt/sources.list",
    ...(existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [])
  ]
  const text = files
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, "utf8"))
    .join("\n")
  return /^(?:URIs:|deb(?: \[.*?\])?)\s+(https?:\/\/\S+\/debian)\/?(?:\s|$)/m.exec(text)?.[1]
}

const build = Effect.fnUntraced(function* (directory: string) {
  const { say, update } = yield* CurrentProgress
  const mirror = configuredMirror()
  const temporary = `${directory}.${process.pid}`
  const from = mirror ?? "debootstrap's own mirror"
  say(`building a Debian 13 root with PostgreSQL 17, pgvector and Valkey 8 from ${from}; about a minute`)
  const since = Date.now()
  let packagesSeen = 0
  const timer = setInterval(() => {
    const unpacked = join(temporary, "var/lib/dpkg/info")
    packagesSeen = existsSync(unpacked)
      ? readdirSync(unpacked).filter((name) => name.endsWith(".list")).length
      : 0
    update(`building the Debian root: ${packagesSeen} packages, ${Math.round((Date.now() - since) / 1000)} s`)
  }, 1000)
  const ended = yield* Effect.ensuring(
    runCommand({
      file: "debootstrap",
      args: [
        "--variant=minbase",
        `--include=${packages.join(",")}`,
        suite,
        temporary,
        ...(mirror === undefined ? [] : [mirror])
      ],
      env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" },
      timeoutMillis: 600_000
    }),
    Effect.sync(() => clearInterval(timer))
  )
  if (ended.code !== 0) {
    const last = `${ended.stdout}\n${ended.stderr}`.trim().split("\n").slice(-3).join("; ")
    return yield* new DebianRootMissing({
      reason: `debootstrap failed (${last}); its log: ${temporary}/debootstrap/debootstrap.log`
    })
  }
  renameSync(temporary, directory)
  say(`built the Debian root in ${Math.round((Date.now() - since) / 1000)} s: ${directory}`)
})

/** The folder; built where it is not there yet, by one process at a time. */
export const debianRoot: Effect.Effect<string, DebianRootMissing> = Effect.gen(function* () {
  const reason = debianRootObstacle()
  if (reason !== undefined) return yield* new DebianRootMissing({ reason })
  const directory = debianRootDirectory()
  const isThere = () => existsSync(join(directory, marker))
  if (isThere()) return directory
  mkdirSync(cacheHome(), { recursive: true })
  const { say } = yield* CurrentProgress
  yield* withDirectoryLock(
    `${directory}.lock`,
    Effect.sync(() => say("waiting for another process that builds the Debian root")),
    Effect.suspend(() => (isThere() ? Effect.void : build(directory)))
  )
  return directory
})
