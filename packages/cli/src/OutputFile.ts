/**
 * A file that appears whole or not at all. It is prepared before anything is issued: the directory can be written, the
 * name is free and the disk has room, or nothing happens. What replaces it is one rename, what is new is one link,
 * which fails where another process was quicker.
 */
import { randomBytes } from "node:crypto"
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync
} from "node:fs"
import { dirname, join, resolve } from "node:path"
import { OutputExists, OutputUnwritable } from "@mosaic-federation/domain/CommandErrors"
import { Effect, type Scope } from "effect"

export interface OutputFile {
  /** As the command line names it. */
  readonly path: string
  /** Where the content lies until it is committed; an error that must not lose it names this place. */
  readonly temporary: string
  /** Writes the content, all of it safe on disk, without the name. */
  readonly fill: (content: string) => Effect.Effect<void, NodeJS.ErrnoException>
  /** Gives it its name. */
  readonly commit: Effect.Effect<void, NodeJS.ErrnoException>
  /** The temporary file outlives the command: its content exists nowhere else. */
  readonly keep: Effect.Effect<void>
}

export interface OutputOptions {
  readonly mode: number
  readonly force: boolean
}

/** More than any chain or key takes; written ahead, so that a full disk shows before the CA is asked. */
const reserve = Buffer.alloc(32 * 1024, "\n")

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "the directory does not exist",
  ENOTDIR: "a part of the path is not a directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the disk",
  EDQUOT: "the disk quota is used up",
  ENAMETOOLONG: "the name is too long",
  EEXIST: "another process made this file meanwhile"
}

export const reasonOf = ({ code, message }: NodeJS.ErrnoException): string =>
  (code === undefined ? undefined : reasons[code]) ?? code ?? message

const attempt = <A>(evaluate: () => A): Effect.Effect<A, NodeJS.ErrnoException> =>
  Effect.try({ try: evaluate, catch: (error) => error as NodeJS.ErrnoException })

const writeWhole = (descriptor: number, content: Buffer) => {
  for (let at = 0; at < content.length;) at += writeSync(descriptor, content, at, content.length - at, at)
  ftruncateSync(descriptor, content.length)
  fsyncSync(descriptor)
}

const quietly = (action: () => void) => {
  try {
    action()
  } catch {
    // It is gone already, which is what was wanted.
  }
}

const syncDirectory = (directory: string) => {
  const descriptor = openSync(directory, constants.O_RDONLY)
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const typeAt = (path: string) => {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return "nothing"
  return found.isFile() || found.isSymbolicLink() ? "file" : "other"
}

const noHardLinks = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])

const giveName = (temporary: string, path: string, force: boolean) => {
  if (force) return renameSync(temporary, path)
  try {
    linkSync(temporary, path)
    unlinkSync(temporary)
  } catch (error) {
    if (!noHardLinks.has((error as NodeJS.ErrnoException).code ?? "")) throw error
    // FAT and some network file systems: the name is claimed first, then replaced.
    closeSync(openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY))
    renameSync(temporary, path)
  }
}

const nothingDone = "name a file in a directory that can be written (ls -ld, df -h); nothing was issued"

export const prepareOutput = (
  path: string,
  { force, mode }: OutputOptions
): Effect.Effect<OutputFile, OutputExists | OutputUnwritable, Scope.Scope> => {
  const target = resolve(path)
  const directory = dirname(target)
  const temporary = join(directory, `.mosaic-${randomBytes(8).toString("hex")}`)
  const unwritable = (reason: string) => new OutputUnwritable({ path, reason, recovery: nothingDone })
  return Effect.gen(function* () {
    const type = yield* Effect.mapError(
      attempt(() => typeAt(target)),
      (error) => unwritable(reasonOf(error))
    )
    if (type === "file" && !force) return yield* new OutputExists({ path })
    if (type === "other") return yield* unwritable("it is there and is not a regular file")
    let kept = false
    let settled = false
    const descriptor = yield* Effect.acquireRelease(
      attempt(() =>
        openSync(temporary, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, mode)
      ).pipe(Effect.mapError((error) => unwritable(reasonOf(error)))),
      (opened) =>
        Effect.sync(() => {
          closeSync(opened)
          if (!kept && !settled) quietly(() => unlinkSync(temporary))
        })
    )
    yield* attempt(() => {
      fchmodSync(descriptor, mode)
      writeWhole(descriptor, reserve)
    }).pipe(Effect.mapError((error) => unwritable(reasonOf(error))))
    return {
      path,
      temporary,
      fill: (content) => attempt(() => writeWhole(descriptor, Buffer.from(content))),
      commit: attempt(() => {
        giveName(temporary, target, force)
        settled = true
        syncDirectory(directory)
      }),
      keep: Effect.sync(() => {
        kept = true
      })
    } satisfies OutputFile
  })
}
