/**
 * Tells, with proof, whether grants can be issued, verified and revoked right now, and what to do where not. It puts the
 * checks of the tier together and makes one report of them; how it is shown is left to the command.
 */
import type { CheckResult, DoctorReport } from "@mosaic-federation/domain/DoctorReport"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Clock, DateTime, Duration, Effect, Exit, Fiber, Result, Scope } from "effect"
import { GatewayConfig, type GatewaySettings } from "../GatewayConfig.ts"
import type { Check } from "./Check.ts"
import { ca } from "./checks/ca.ts"
import { clock } from "./checks/clock.ts"
import { durations } from "./checks/durations.ts"
import { encryptedKey } from "./checks/encryptedKey.ts"
import { guards } from "./checks/guards.ts"
import { intermediate } from "./checks/intermediate.ts"
import { key } from "./checks/key.ts"
import { loop } from "./checks/loop.ts"
import { password } from "./checks/password.ts"
import { pgvector } from "./checks/pgvector.ts"
import { postgres } from "./checks/postgres.ts"
import { provisioner } from "./checks/provisioner.ts"
import { queue } from "./checks/queue.ts"
import { renewal } from "./checks/renewal.ts"
import { root } from "./checks/root.ts"
import { rootKey } from "./checks/rootKey.ts"
import { schema } from "./checks/schema.ts"
import { settings } from "./checks/settings.ts"
import { storage } from "./checks/storage.ts"
import { symmetricKey } from "./checks/symmetricKey.ts"
import { valkey } from "./checks/valkey.ts"
import { runChecks } from "./runChecks.ts"
import { readCaSettings, Subject } from "./Subject.ts"

export interface DoctorOptions {
  readonly deep: boolean
  /** The report is there before this has passed. */
  readonly timeout: Duration.Duration
}

/** Shares of the time. */
const share = {
  /** A service that is slow to answer; the rest is for what needs it. */
  ofEach: 0.6,
  /** Less than `ofEach`, so that the service's own error is there before the check is given up. */
  ofAnswer: 0.5,
  /** To close connections; one that does not let itself be closed holds up no report. */
  ofClosing: 0.1,
  /** To print the report and to end. */
  ofEnding: 0.08
} as const

/** Of a time-out that the start of the process alone has used up. */
const leastTimeout = Duration.millis(200)

/** In the order in which they are shown. */
const checksOf = ({ tier }: GatewaySettings, deep: boolean): ReadonlyArray<Check> => [
  postgres,
  ...(tier === "federated" ? [valkey, pgvector] : []),
  schema,
  settings,
  root,
  ca,
  intermediate,
  provisioner,
  password,
  key,
  renewal,
  durations,
  guards,
  symmetricKey,
  encryptedKey,
  rootKey,
  clock,
  queue,
  storage,
  ...(deep ? [loop] : [])
]

const worst = (checks: ReadonlyArray<CheckResult>): DoctorReport["status"] => {
  if (checks.some(({ status }) => status === "failed")) return "failed"
  return checks.some(({ status }) => status === "warning") ? "warning" : "ok"
}

const close = Effect.fnUntraced(function* (scope: Scope.Closeable, patience: Duration.Duration) {
  const fiber = yield* Effect.forkDetach(Scope.close(scope, Exit.void))
  yield* Effect.timeoutOption(Fiber.await(fiber), patience)
})

/** What is wrong with the settings themselves, where nothing else is known to be wrong. */
export const misconfiguration = Effect.fnUntraced(function* ({ checks }: DoctorReport) {
  const failed = checks.filter(({ status }) => status === "failed")
  if (failed.length !== 1 || failed[0]?.id !== "settings") return undefined
  const ca = yield* readCaSettings
  return Result.isFailure(ca) ? ca.failure[0] : undefined
}, Effect.provide(NodeFileSystem.layer))

/** Looks once at everything. It fails for nothing: what is wrong is in the report. */
export const examine = Effect.fn("Doctor.examine")(function* ({ deep, timeout }: DoctorOptions) {
  const settings = yield* GatewayConfig
  const startedAt = yield* DateTime.now
  const start = yield* Clock.monotonicTimeNanos
  const all = Duration.max(timeout, leastTimeout)
  const whole = Duration.times(all, 1 - share.ofClosing - share.ofEnding)
  const each = Duration.times(whole, share.ofEach)
  const scope = yield* Scope.make()
  const checks = yield* runChecks(checksOf(settings, deep), { whole, each }).pipe(
    Effect.provide(Subject.layer({ deep, patience: Duration.times(whole, share.ofAnswer) })),
    Scope.provide(scope),
    Effect.ensuring(close(scope, Duration.times(all, share.ofClosing)))
  )
  return {
    tier: settings.tier,
    file: settings.file,
    startedAt,
    durationMillis: Math.round(Number((yield* Clock.monotonicTimeNanos) - start) / 1e6),
    deep,
    status: worst(checks),
    checks
  } satisfies DoctorReport
})
