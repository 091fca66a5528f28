/** PostgreSQL 17, Valkey 8 and step-ca, all in order, and the doctor that looks at them with settings of the test's. */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import type { CheckStatus, DoctorReport } from "@mosaic-federation/domain/DoctorReport"
import { FederatedParts } from "@mosaic-federation/testing/FederatedParts"
import type { NativePostgres, NativeValkey } from "@mosaic-federation/testing/FederatedServer"
import { type StepCaShape, StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { ConfigProvider, Context, Duration, Effect, Layer, Option, Redacted } from "effect"
import { examine } from "../../src/doctor/Doctor.ts"
import { GatewayConfig } from "../../src/GatewayConfig.ts"

export type Environment = Readonly<Record<string, string | undefined>>

const initScript = fileURLToPath(new URL("../../../../infra/step-ca/init.sh", import.meta.url))

export class DoctorStage extends Context.Service<
  DoctorStage,
  {
    readonly ca: StepCaShape
    readonly postgres: NativePostgres
    readonly valkey: NativeValkey
    /** For files of the test's. */
    readonly directory: string
    readonly environment: Environment
  }
>()("@mosaic-federation/gateway/test/DoctorStage") {
  static readonly layer = Layer.effect(
    DoctorStage,
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-doctor-"))),
        removeDirectory
      )
      const offline = join(directory, "offline")
      mkdirSync(offline)
      const { ca, parts } = yield* Effect.all(
        {
          ca: StepCaProcess.make({ env: { MOSAIC_ROOT_KEY_OUT: join(offline, "root_ca_key") } }),
          parts: FederatedParts.native()
        },
        { concurrency: "unbounded" }
      )
      const { postgres, valkey } = parts
      return DoctorStage.of({
        ca,
        postgres,
        valkey,
        directory,
        environment: {
          ...ca.environment,
          MOSAIC_HOME: join(directory, "home"),
          DATABASE_URL: Redacted.value(postgres.url),
          REDIS_URL: Redacted.value(valkey.url)
        }
      })
    })
  )
}

export interface Look {
  readonly deep?: boolean
  /** Long, where the time is not what the test is about. */
  readonly timeout?: Duration.Duration
  readonly environment?: Environment
}

const lookAt = (environment: Environment, { deep = false, timeout = Duration.seconds(60) }: Look = {}) => {
  const env = Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined)
  )
  return examine({ deep, timeout }).pipe(
    Effect.provide(GatewayConfig.layer({ config: Option.none() })),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
  )
}

/** With what the test sets otherwise. */
export const look = (options: Look = {}) =>
  DoctorStage.use((stage) => lookAt({ ...stage.environment, ...options.environment }, options))

export const idsOf = ({ checks }: DoctorReport, wanted: CheckStatus) =>
  checks.filter(({ status }) => status === wanted).map(({ id }) => id)

/** For the message of an assertion that fails. */
const told = ({ checks }: DoctorReport) =>
  checks.flatMap(({ finding, id, status }) =>
    finding === null ? [] : [`${status} ${id}: ${finding.problem}`]
  )

export const assertAllWell = (report: DoctorReport) => {
  assert.deepStrictEqual(
    [report.status, idsOf(report, "failed"), idsOf(report, "warning"), idsOf(report, "skipped")],
    ["ok", [], [], []],
    told(report).join("\n")
  )
}

/** This check alone has failed, and those that depend on it were skipped for it. Returns what was found. */
export const assertAlone = (
  report: DoctorReport,
  id: string,
  code: string,
  skipped: ReadonlyArray<string>
) => {
  assert.deepStrictEqual(
    [idsOf(report, "failed"), idsOf(report, "warning"), idsOf(report, "skipped").toSorted()],
    [[id], [], skipped.toSorted()],
    told(report).join("\n")
  )
  for (const check of report.checks) {
    if (check.status === "skipped") assert.strictEqual(check.needs, id, check.id)
  }
  const found = report.checks.find((check) => check.id === id)?.finding
  if (found === null || found === undefined) return assert.fail("it has no finding")
  assert.strictEqual(found.code, code, found.problem)
  assert.isTrue(found.remediation.endsWith(found.command), found.remediation)
  assert.strictEqual(report.status, "failed")
  return found
}

export const assertWarns = (report: DoctorReport, id: string, code: string) => {
  assert.deepStrictEqual(
    [report.status, idsOf(report, "failed"), idsOf(report, "warning"), idsOf(report, "skipped")],
    ["warning", [], [id], []],
    told(report).join("\n")
  )
  const found = report.checks.find((check) => check.id === id)?.finding
  if (found === null || found === undefined) return assert.fail("it has no finding")
  assert.strictEqual(found.code, code)
  return found
}

/** A boot of the CA, which is what several remedies come down to: init.sh, then step-ca started again. */
export const bootCa = Effect.fnUntraced(function* (environment: Readonly<Record<string, string>> = {}) {
  const { ca } = yield* DoctorStage
  const tools = yield* stepTools()
  yield* ca.stop
  const { status, stderr } = spawnSync("sh", [initScript, "init"], {
    encoding: "utf8",
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: tmpdir(),
      STEPPATH: ca.stepPath,
      STEP_CA_BIN: tools.stepCa.path,
      STEP_BIN: tools.step.path,
      JQ_BIN: tools.jq.path,
      ...environment
    }
  })
  assert.strictEqual(status, 0, stderr)
  yield* ca.start
})

/** Runs a command of a remedy beside the database server. */
export const runBesidePostgres = Effect.fnUntraced(function* (command: string) {
  const { directory, environment, postgres } = yield* DoctorStage
  const path = join(directory, "remedy.sh")
  writeFileSync(path, `set -eu\ncd /tmp\n${command}\n`)
  const { code, output } = yield* postgres.script(path, { DATABASE_URL: environment["DATABASE_URL"] ?? "" })
  assert.strictEqual(code, 0, output)
})
