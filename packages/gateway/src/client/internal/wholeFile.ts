/** Files that are there whole or not at all, and safe on disk. */
import { randomBytes } from "node:crypto"
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs"
import { dirname, join } from "node:path"

const temporaryPrefix = ".new-"

/** A name that nothing has, in the same directory as what it becomes. */
export const temporaryIn = (directory: string) =>
  join(directory, `${temporaryPrefix}${randomBytes(8).toString("hex")}`)

export const isTemporary = (name: string) => name.startsWith(temporaryPrefix)

export const writeNew = (path: string, content: string, mode: number) => {
  const descriptor = openSync(path, "wx", mode)
  try {
    const bytes = Buffer.from(content)
    for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

export const replaceFile = (path: string, content: string, mode: number) => {
  const temporary = temporaryIn(dirname(path))
  try {
    writeNew(temporary, content, mode)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}
