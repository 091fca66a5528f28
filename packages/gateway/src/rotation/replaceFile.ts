/** Gives a file other content in one step, on the disk when this returns; who reads it sees the old or the new, whole. */
import {
  chownSync,
  closeSync,
  fsyncSync,
  existsSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { OutputUnwritable } from "@mosaic-federation/domain/CommandErrors"
import { Effect } from "effect"

/** Mode and owner stay those of the file before; a new file is its owner's alone. A link goes on leading to it. */
export const replaceFile = (name: string, content: string): Effect.Effect<void, OutputUnwritable> =>
  Effect.try({
    try: () => {
      const path = existsSync(name) ? realpathSync(name) : name
      const before = statSync(path, { throwIfNoEntry: false })
      // With a dot, so that init.sh takes it for none of the gateway's files. Always the same name: what a writer that was
      // killed has left goes with the repetition.
      const temporary = join(dirname(path), `.${basename(path)}.mosaic-new`)
      rmSync(temporary, { force: true })
      const descriptor = openSync(temporary, "wx", before === undefined ? 0o600 : before.mode & 0o777)
      try {
        writeFileSync(descriptor, content)
        fsyncSync(descriptor)
        if (before !== undefined && process.getuid?.() === 0) chownSync(temporary, before.uid, before.gid)
        renameSync(temporary, path)
      } catch (error) {
        unlinkSync(temporary)
        throw error
      } finally {
        closeSync(descriptor)
      }
      const directory = openSync(dirname(path), "r")
      fsyncSync(directory)
      closeSync(directory)
    },
    catch: (error) =>
      new OutputUnwritable({
        path: name,
        reason: (error as NodeJS.ErrnoException).code ?? String(error),
        recovery: "make it writable for this user, then run the same command again: it goes on from there"
      })
  })
