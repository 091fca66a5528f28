/** Builds what is published: `dist` of each package, and the bundled `mosaic` command. */
import { readdirSync } from "node:fs"
import { join, relative } from "node:path"
import { stderrProgress } from "../../packages/testing/src/Progress.ts"
import { bundle } from "../bundle.ts"
import { program, runStep } from "./Step.ts"
import { root } from "./root.ts"

const { say } = stderrProgress()
const packages = readdirSync(join(root, "packages")).map((name) => join("packages", name))
const types = await runStep({ name: "types", ...program("typescript", "tsc", ["-b", ...packages]) })
say(types.passed ? "built packages/*/dist" : types.output)
const { path } = await bundle()
say(`built ${relative(root, path)}: node_modules/.bin/mosaic runs it`)
process.exitCode = types.passed ? 0 : 1
