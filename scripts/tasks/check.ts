/**
 * Everything that can be known without running the product: format, lint (with the one way of imports), types, unused
 * code and dependencies, the packages as they would be published, shell scripts, documents, and that a test produces
 * every error. All of it runs, whatever fails first.
 */
import { accessSync, constants, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { stderrProgress } from "../../packages/testing/src/Progress.ts"
import { bundle } from "../bundle.ts"
import { documentProblems } from "../documents.ts"
import { errorTestProblems } from "../error-tests.ts"
import { linted, program, runStep, type Step, type StepResult } from "./Step.ts"
import { root } from "./root.ts"

const { say, update } = stderrProgress()

const isOnPath = (name: string) =>
  (process.env["PATH"] ?? "").split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

interface Manifest {
  readonly name: string
  readonly private?: boolean
  readonly packageManager?: string
}

const manifestOf = (directory: string) =>
  JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest

const published = readdirSync(join(root, "packages"))
  .map((name) => join("packages", name))
  .filter((directory) => manifestOf(join(root, directory)).private !== true)

const tarballs = mkdtempSync(join(tmpdir(), "mosaic-pack-"))
process.once("exit", () => rmSync(tarballs, { recursive: true, force: true }))

const scripts = globSync("{infra/**/*.sh,.ci/run}", { cwd: root })

const failed: Array<string> = []

const tell = (name: string, { output, passed, seconds }: StepResult) => {
  const outcome = passed ? "ok    " : "FAILED"
  say(`${name.padEnd(8)} ${outcome}  ${seconds.toFixed(1)} s${passed ? "" : `\n${output}`}`)
  if (!passed) failed.push(name)
  return passed
}

const check = async (step: Step) => {
  update(`${step.name} ...`)
  return tell(step.name, await runStep(step))
}

await check({ name: "format", ...program("oxfmt", "oxfmt", ["--check", "."]) })
await check({ name: "lint", ...program("oxlint", "oxlint", ["--type-aware", ...linted]) })
const typed = await check({ name: "types", ...program("typescript", "tsc", ["-b"]) })
await check({ name: "unused", ...program("knip", "knip", ["--no-progress"]) })

const pnpm = manifestOf(root).packageManager ?? "pnpm"
const filters = published.map((directory) => `--filter=./${directory}`)
const pack = ["--yes", pnpm, ...filters, "pack", "--pack-destination", tarballs]
if (typed) await bundle()
if (typed && (await check({ name: "pack", file: "npx", args: pack }))) {
  for (const tarball of readdirSync(tarballs)) {
    const name = tarball.replace(/^mosaic-federation-|-[\d.]+\.tgz$/g, "")
    await check({ name, ...program("publint", "publint", [join(tarballs, tarball), "--strict"]) })
  }
}

if (isOnPath("shellcheck")) {
  await check({ name: "shell", file: "shellcheck", args: scripts })
} else {
  say("shell    not checked: shellcheck is not on PATH (npm run parts installs it)")
}

const tellProblems = (name: string, problems: ReadonlyArray<string>) =>
  tell(name, { passed: problems.length === 0, output: problems.join("\n"), seconds: 0 })

tellProblems("docs", documentProblems())
tellProblems("errors", errorTestProblems())

if (failed.length > 0) {
  say(`npm run check: ${failed.join(", ")} failed; npm run fix repairs format and part of lint`)
  process.exitCode = 1
} else {
  say("npm run check: all is well")
}
