/** What `mosaic gateway doctor` found: a stable document, one entry for each check, in the order in which it is shown. */
import { Schema } from "effect"

/** `skipped`: what it needs has failed, so it could not be made. */
export const CheckStatus = Schema.Literals(["ok", "warning", "failed", "skipped"])

export type CheckStatus = typeof CheckStatus.Type

/** What a check saw: names, numbers and words, never a secret. */
export const Evidence = Schema.Record(
  Schema.String,
  Schema.Union([Schema.String, Schema.Number, Schema.Boolean, Schema.Null])
)

export type Evidence = typeof Evidence.Type

/** Why a check has not passed, and the way out. */
export const Finding = Schema.Struct({
  /** Stable, upper snake case; where it is the code of an error, docs/errors.md has a section of this name. */
  code: Schema.String,
  problem: Schema.String,
  /** One sentence, which ends in the command. */
  remediation: Schema.String,
  command: Schema.String
})

export type Finding = typeof Finding.Type

export const CheckResult = Schema.Struct({
  /** Stable. */
  id: Schema.String,
  /** As people are shown it. */
  name: Schema.String,
  /** What was looked at or found, in a few words; null where the name says it. */
  detail: Schema.NullOr(Schema.String),
  status: CheckStatus,
  /** Null where it was skipped. */
  latencyMillis: Schema.NullOr(Schema.Number),
  evidence: Evidence,
  /** Null unless it failed or warns. */
  finding: Schema.NullOr(Finding),
  /** The id of the check that failed, null unless this one was skipped for it. */
  needs: Schema.NullOr(Schema.String)
})

export type CheckResult = typeof CheckResult.Type

export const DoctorReport = Schema.Struct({
  tier: Schema.Literals(["local", "federated"]),
  /** The configuration file, null where there is none. */
  file: Schema.NullOr(Schema.String),
  startedAt: Schema.DateTimeUtcFromString,
  durationMillis: Schema.Number,
  deep: Schema.Boolean,
  /** `failed` where any check failed, else `warning` where any warns, else `ok`. */
  status: Schema.Literals(["ok", "warning", "failed"]),
  checks: Schema.Array(CheckResult)
})

export type DoctorReport = typeof DoctorReport.Type
