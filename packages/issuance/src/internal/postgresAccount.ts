/**
 * As whom PostgreSQL runs. It refuses root, so root runs it in a user namespace in which root has another number: the
 * files stay root's, directories of mode 0700 stay in reach, and no user is created. Where that is forbidden, it runs as
 * an unprivileged user that exists, if that one reaches the binaries and the data.
 */
import { readFileSync } from "node:fs"
import { userInfo } from "node:os"
import { EmbeddedPostgresUnavailable } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Result } from "effect"
import type { PostgresBinaries } from "./postgresBinaries.ts"
import { type Program, runProgram } from "./runProgram.ts"

export interface Owner {
  readonly uid: number
  readonly gid: number
}

export interface PostgresAccount {
  /** Completes "PostgreSQL cannot run" in an error. */
  readonly name: string
  /** Owner, as seen from here, of the files that PostgreSQL writes. */
  readonly owner: Owner
  /** True where that is somebody else than this process, who must be let into the directories. */
  readonly isOther: boolean
  readonly program: (file: string, args: ReadonlyArray<string>) => Program
}

const self = (): Owner => ({ uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 })

const asSelf = (): PostgresAccount => ({
  name: "as this user",
  owner: self(),
  isOther: false,
  program: (file, args) => ({ file, args })
})

const inNamespace = (inside: Owner): PostgresAccount => ({
  name: "in a user namespace (unshare --user)",
  owner: self(),
  isOther: false,
  program: (file, args) => ({
    file: "unshare",
    args: ["--user", `--map-user=${inside.uid}`, `--map-group=${inside.gid}`, "--", file, ...args]
  })
})

const asOther = (owner: Owner): PostgresAccount => ({
  name: `as uid ${owner.uid}`,
  owner,
  isOther: true,
  program: (file, args) => ({ file, args, ...owner })
})

/** `nobody`, else the first user that is not root. initdb wants a user that has a name, inside a namespace too. */
const unprivileged = (): Owner => {
  const passwd = Result.getOrElse(
    Result.try(() => readFileSync("/etc/passwd", "utf8")),
    () => ""
  )
  const users = passwd.split("\n").flatMap((line) => {
    const [name, , uid, gid] = line.split(":")
    return Number(uid) > 0 && Number(gid) > 0 ? [{ name, uid: Number(uid), gid: Number(gid) }] : []
  })
  const { gid, uid } = users.find(({ name }) => name === "nobody") ?? users[0] ?? { uid: 65_534, gid: 65_534 }
  return { uid, gid }
}

/** Those that may work for a new cluster, best first. */
export const accountsForNew = (): ReadonlyArray<PostgresAccount> => {
  if (self().uid === 0) return [inNamespace(unprivileged()), asOther(unprivileged())]
  // A container may run under a number without a name, which initdb refuses.
  return Result.isSuccess(Result.try(() => userInfo())) ? [asSelf()] : [inNamespace(unprivileged())]
}

/** The one that a cluster was made under. */
export const accountOf = (data: Owner): Result.Result<PostgresAccount, string> => {
  const { uid } = self()
  if (data.uid === uid) return Result.succeed(uid === 0 ? inNamespace(unprivileged()) : asSelf())
  if (uid === 0) return Result.succeed(asOther({ uid: data.uid, gid: data.gid }))
  return Result.fail(`the data belong to uid ${data.uid}, and this process is uid ${uid}`)
}

/** Runs the real server program as that user and looks whether the user may write into the directory. */
export const checkAccount = Effect.fnUntraced(function* (
  account: PostgresAccount,
  { postgres }: PostgresBinaries,
  directory: string
) {
  const script = `"$1" --version >/dev/null && { test -r "$2" -a -w "$2" -a -x "$2" || { echo "$2 is out of reach" >&2; false; }; }`
  const { code, stderr } = yield* runProgram(account.program("sh", ["-c", script, "sh", postgres, directory]))
  if (code === 0) return
  return yield* new EmbeddedPostgresUnavailable({
    reason: `PostgreSQL cannot run ${account.name}: ${stderr.split("\n").at(-1) ?? `exit code ${code}`}`
  })
})
