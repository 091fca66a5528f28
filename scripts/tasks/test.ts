/** Runs the tests, after finding or building what they start. Arguments go to vitest: `npm test -- --project x509`. */
import { spawn } from "node:child_process"
import { join, relative } from "node:path"
import { Effect } from "effect"
import { debianRoot } from "../../packages/testing/src/DebianRoot.ts"
import {
  describeFederatedSource,
  federatedSources,
  howToGetFederatedParts
} from "../../packages/testing/src/FederatedSource.ts"
import { CurrentProgress, stderrProgress } from "../../packages/testing/src/Progress.ts"
import { describeTool, stepTools } from "../../packages/testing/src/StepTools.ts"
import { bundle } from "../bundle.ts"
import { root } from "./root.ts"

const progress = stderrProgress()

/** Pure ones: they need no server and not the command. */
const withoutTools = new Set(["x509", "domain"])

const projects = (args: ReadonlyArray<string>) =>
  args.flatMap((arg, index) => {
    const given = arg === "--project" ? args[index + 1] : /^--project=(.*)$/.exec(arg)?.[1]
    return given === undefined ? [] : [given]
  })

/** Says where PostgreSQL 17 and Valkey 8 come from, and builds what is built once. */
const federatedParts = Effect.gen(function* () {
  const [best] = federatedSources("data").usable
  if (best !== undefined) progress.say(`PostgreSQL 17 and Valkey 8: ${describeFederatedSource(best)}`)
  if (federatedSources("native").usable.length > 0) yield* debianRoot
  for (const [need, which] of [
    ["data", "of the federated tier"],
    ["control", "that stop PostgreSQL or Valkey"],
    ["native", "that run scripts beside PostgreSQL or Valkey"]
  ] as const) {
    const { obstacles, usable } = federatedSources(need)
    if (usable.length > 0) continue
    progress.say(`tests ${which} are skipped: ${obstacles} (${howToGetFederatedParts(need)})`)
    return
  }
})

const prepare = Effect.gen(function* () {
  const tools = yield* stepTools()
  for (const tool of [tools.stepCa, tools.step, tools.jq]) progress.say(describeTool(tool))
  yield* federatedParts
  const { built, path } = yield* Effect.promise(bundle)
  progress.say(`mosaic ${built ? "built" : "up to date"}: ${relative(root, path)}`)
}).pipe(Effect.provideService(CurrentProgress, progress))

/** vitest colours what it writes to a file or a pipe as well. */
const plain = process.stdout.isTTY || (process.env["FORCE_COLOR"] ?? "") !== "" ? {} : { NO_COLOR: "1" }

const vitest = (args: ReadonlyArray<string>) =>
  new Promise<number>((resolve) => {
    const reporters = args.some((arg) => arg.startsWith("--reporter")) ? [] : ["--reporter=default"]
    const child = spawn(
      process.execPath,
      [
        join(root, "node_modules/vitest/vitest.mjs"),
        "run",
        "--config",
        "vitest.workspace.ts",
        ...args,
        ...reporters,
        `--reporter=${join(root, "scripts/ClosingLineReporter.ts")}`
      ],
      { cwd: root, stdio: "inherit", env: { ...process.env, ...plain } }
    )
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => {
        if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal)
      })
    }
    child.once("exit", (code) => resolve(code ?? 1))
  })

const args = process.argv.slice(2)
const named = projects(args)
const isPure = named.length > 0 && named.every((name) => withoutTools.has(name))
const ready = isPure
  ? true
  : await Effect.runPromise(
      prepare.pipe(
        Effect.as(true),
        Effect.catch((error) =>
          Effect.as(
            Effect.sync(() => progress.say(error.message)),
            false
          )
        )
      )
    )
process.exitCode = ready ? await vitest(args) : 1
