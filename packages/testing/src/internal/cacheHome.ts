import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"

/** What is built once for all checkouts. The XDG base directory specification tells to ignore a value that is not absolute. */
export const cacheHome = (): string => {
  const home = process.env["XDG_CACHE_HOME"] ?? ""
  return join(isAbsolute(home) ? home : join(homedir(), ".cache"), "mosaic-federation")
}
