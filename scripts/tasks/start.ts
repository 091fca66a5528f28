/** Runs the quickstart, with the command that it tells people to try. */
import { relative } from "node:path"
import { stderrProgress } from "../../packages/testing/src/Progress.ts"
import { bundle } from "../bundle.ts"
import { root } from "./root.ts"

const { built, path } = await bundle()
stderrProgress().say(`mosaic ${built ? "built" : "up to date"}: ${relative(root, path)}`)
await import("../../packages/quickstart/src/main.ts")
