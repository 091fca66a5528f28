/** Where things are in this checkout. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")

export const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))

/** The real binary: `node_modules/.bin/node` may be a shell script, which keeps signals to itself. */
export const pinnedNode = join(root, "node_modules", "node", "bin", "node")
