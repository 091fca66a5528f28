/**
 * Paths under /proc. No directory can be made there, which it says with ENOENT: Node's recursive mkdir takes that for a
 * parent that is missing, makes none, and tries again for ever. Whoever would make a directory asks here first.
 */
import { statfsSync } from "node:fs"
import { dirname } from "node:path"

/** PROC_SUPER_MAGIC of linux/magic.h. */
const procMagic = 0x9fa0

const isMissing = (error: unknown) =>
  ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")

/** Of what is there of an absolute path. */
export const isInProc = (path: string): boolean => {
  try {
    return statfsSync(path).type === procMagic
  } catch (error) {
    return isMissing(error) && path !== dirname(path) && isInProc(dirname(path))
  }
}
