/** The quickstart's own step-ca: found or built, set up by init.sh, started; and the environment that leads to it. */
import { mkdirSync, writeFileSync } from "node:fs"
import { describeTool, stepTools } from "@mosaic-federation/testing/StepTools"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { Clock, Effect } from "effect"
import { CurrentPage } from "./Page.ts"
import { type QuickstartPaths, shown } from "./QuickstartPaths.ts"

const quoted = (value: string) => `'${value.replaceAll("'", "'\\''")}'`

/** Set elsewhere, these would contradict the ones below, or lead to other records. */
const unset = [
  "DATABASE_URL",
  "DATABASE_URL_FILE",
  "STEP_CA_PROVISIONER_KEY_JSON",
  "STEP_CA_PROVISIONER_PASSWORD",
  "STEP_CA_PROVISIONER_KID"
]

/** What `mosaic` needs to reach this CA and these records, for a shell to source. No secret is in it. */
const writeEnv = (path: string, environment: Readonly<Record<string, string>>) => {
  const lines = Object.entries(environment).map(([name, value]) => `export ${name}=${quoted(value)}`)
  writeFileSync(path, `${[`unset ${unset.join(" ")}`, ...lines].join("\n")}\n`, { mode: 0o600 })
}

const runningOrStarted = Effect.fnUntraced(function* (paths: QuickstartPaths) {
  const { done } = yield* CurrentPage
  const since = yield* Clock.currentTimeMillis
  const running = yield* StepCaProcess.findRunning(paths.stepPath)
  const ca = running ?? (yield* StepCaProcess.make({ stepPath: paths.stepPath }))
  const what =
    running === undefined
      ? `step-ca runs at ${ca.url}, set up by infra/step-ca/init.sh in ${shown(paths.stepPath)}`
      : `step-ca already runs at ${ca.url} (npm run ca), with its state in ${shown(paths.stepPath)}`
  done(what, (yield* Clock.currentTimeMillis) - since)
  return { ...ca, isOurs: running === undefined }
})

/** Starts it for as long as the scope, or finds that it already runs. */
export const startAuthority = Effect.fn("Quickstart.startAuthority")(function* (paths: QuickstartPaths) {
  const { line } = yield* CurrentPage
  mkdirSync(paths.directory, { recursive: true, mode: 0o700 })
  const tools = yield* stepTools()
  for (const tool of [tools.stepCa, tools.step, tools.jq]) line(`  ${describeTool(tool)}`)
  const ca = yield* runningOrStarted(paths)
  const environment = { ...ca.environment, MOSAIC_HOME: paths.home }
  writeEnv(paths.env, environment)
  return { ca, environment, step: tools.step.path }
})
