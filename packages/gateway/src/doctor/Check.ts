/**
 * What a check is, apart from who runs it: what it looks at, which others must have passed, and an effect that ends in
 * evidence or in what is wrong with a way out. Where and in which order they run is left to `runChecks`.
 */
import type { Evidence, Finding } from "@mosaic-federation/domain/DoctorReport"
import { Data, type Duration, type Effect } from "effect"
import type { Subject } from "./Subject.ts"

/** Stable: programs tell checks by these. */
export type CheckId =
  | "postgres"
  | "valkey"
  | "pgvector"
  | "schema"
  | "settings"
  | "root"
  | "ca"
  | "intermediate"
  | "password"
  | "provisioner"
  | "key"
  | "renewal"
  | "durations"
  | "symmetric-key"
  | "encrypted-key"
  | "root-key"
  | "clock"
  | "guards"
  | "queue"
  | "storage"
  | "loop"

export interface Passed {
  /** In a few words, in place of what the check says beforehand. */
  readonly detail?: string
  readonly evidence: Evidence
}

/** A way out in one sentence, and the command to run. */
export interface Remedy {
  readonly remediation: string
  readonly command: string
}

/** Ends a check that has not passed. A warning holds up nothing that depends on it. */
export class NotPassed extends Data.TaggedError("NotPassed")<{
  readonly severity: "failed" | "warning"
  readonly finding: Finding
  readonly evidence: Evidence
  readonly detail?: string
}> {}

/** Ends a check that finds out on its way that it cannot be made for another's sake. */
export class Blocked extends Data.TaggedError("Blocked")<{ readonly needs: CheckId }> {}

export interface Circumstances {
  /** How long it may take; it is interrupted then. */
  readonly patience: Duration.Duration
  /** Whether another check passes, once that is known. Two checks that wait for each other would wait for ever. */
  readonly passes: (id: CheckId) => Effect.Effect<boolean>
}

export interface Check {
  readonly id: CheckId
  readonly name: string
  /** Without these it cannot be made. */
  readonly needs: ReadonlyArray<CheckId>
  /** It waits for these, and makes do with those that passed, at least one. */
  readonly needsAny?: ReadonlyArray<CheckId>
  /** True where it waits for no service but for work on this machine: it gets all the time there is. */
  readonly isOwnWork?: (subject: Subject["Service"]) => boolean
  /** Known before it runs: what it looks at. */
  readonly detail?: (subject: Subject["Service"]) => string | null
  /** What to do where nothing is heard in time. */
  readonly ifSilent: (subject: Subject["Service"]) => Remedy
  readonly run: (circumstances: Circumstances) => Effect.Effect<Passed, NotPassed | Blocked, Subject>
}

/** The command ends the sentence. */
export const remedy = (sentence: string, command: string): Remedy => ({
  remediation: `${sentence}: ${command}`,
  command
})

interface Fault {
  readonly code: string
  readonly problem: string
  readonly remedy: Remedy
  readonly evidence?: Evidence
  readonly detail?: string
}

const notPassed =
  (severity: "failed" | "warning") =>
  ({ code, detail, evidence = {}, problem, remedy }: Fault) =>
    new NotPassed({
      severity,
      finding: { code, problem, ...remedy },
      evidence,
      ...(detail === undefined ? {} : { detail })
    })

export const failed = notPassed("failed")

export const warning = notPassed("warning")

/** An error of the closed union, whose own sentence tells the cause, with the command of the check. */
export const failedBy = (
  error: { readonly code: string; readonly message: string; readonly remediation: string },
  command: string,
  evidence?: Evidence
) =>
  failed({
    code: error.code,
    problem: error.message,
    remedy: error.remediation.includes(command)
      ? { remediation: error.remediation, command }
      : remedy(`${error.remediation}; to see for yourself`, command),
    ...(evidence === undefined ? {} : { evidence })
  })
