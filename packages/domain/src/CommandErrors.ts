/** What can be wrong with a command line and the files that it names. */
import { Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

export class UsageInvalid extends ErrorClass<UsageInvalid>()(
  "UsageInvalid",
  { problem: Schema.String, help: Schema.String },
  {
    code: "USAGE_INVALID",
    title: "The command line is not understood",
    explanation:
      "An option is unknown, absent or of the wrong form. Every command explains itself with --help.",
    httpStatus: 400,
    exitCode: ExitCode.usage,
    retryable: false,
    message: ({ problem }) => problem,
    remediation: ({ help }) => `see ${help}`
  }
) {}

export class InputUnreadable extends ErrorClass<InputUnreadable>()(
  "InputUnreadable",
  { path: Schema.String, reason: Schema.String },
  {
    code: "INPUT_UNREADABLE",
    title: "An input file cannot be read",
    explanation:
      "The file that the command line names does not exist, is a directory, is too large or may not be read.",
    httpStatus: 400,
    exitCode: ExitCode.usage,
    retryable: false,
    message: ({ path, reason }) => `${path}: ${reason}`,
    remediation: ({ path }) => `name a file that this user can read: ls -l ${path}`
  }
) {}

export class OutputExists extends ErrorClass<OutputExists>()(
  "OutputExists",
  { path: Schema.String },
  {
    code: "OUTPUT_EXISTS",
    title: "The output file exists already",
    explanation: "Nothing is overwritten unless --force is given. Nothing was issued.",
    httpStatus: 409,
    exitCode: ExitCode.usage,
    retryable: false,
    message: ({ path }) => `${path} exists`,
    remediation: () => `name another file, or add --force to replace it`
  }
) {}

export class OutputUnwritable extends ErrorClass<OutputUnwritable>()(
  "OutputUnwritable",
  { path: Schema.String, reason: Schema.String, recovery: Schema.String },
  {
    code: "OUTPUT_UNWRITABLE",
    title: "An output file cannot be written",
    explanation:
      "The directory does not exist, may not be written, or the disk is full. A certificate that was issued already stays on record.",
    httpStatus: 500,
    exitCode: ExitCode.storage,
    retryable: false,
    message: ({ path, reason }) => `${path}: ${reason}`,
    remediation: ({ recovery }) => recovery
  }
) {}

export class CertificateNotFound extends ErrorClass<CertificateNotFound>()(
  "CertificateNotFound",
  { serial: Schema.String },
  {
    code: "CERTIFICATE_NOT_FOUND",
    title: "There is no certificate of this serial number on record",
    explanation:
      "No issued certificate has this serial in the database. It may live in another one: see DATABASE_URL and MOSAIC_HOME.",
    httpStatus: 404,
    exitCode: ExitCode.refused,
    retryable: false,
    message: ({ serial }) => `no issued certificate of serial ${serial}`,
    remediation: () => `list the certificates there are: mosaic federation cert list`
  }
) {}

const names = { checks: Schema.Array(Schema.String) } as const

export class DoctorFailed extends ErrorClass<DoctorFailed>()("DoctorFailed", names, {
  code: "DOCTOR_FAILED",
  title: "Not everything works",
  explanation:
    "The doctor has proved that something which issuing, verifying or revoking needs does not work. The report says which check has failed, by what evidence, and what to do.",
  httpStatus: 503,
  exitCode: ExitCode.failed,
  retryable: false,
  message: ({ checks }) => `failed: ${checks.join(", ")}`,
  remediation: () => `do what the report says below each ✗, then look again: mosaic gateway doctor`
}) {}

export class DoctorWarned extends ErrorClass<DoctorWarned>()("DoctorWarned", names, {
  code: "DOCTOR_WARNED",
  title: "Everything works, and something will not for long or is not safe",
  explanation:
    "With --strict, mosaic gateway doctor takes its warnings as failures: something is about to end, lags behind, or lies where it should not. Without --strict the exit code is 0.",
  httpStatus: 503,
  exitCode: ExitCode.warned,
  retryable: false,
  message: ({ checks }) => `warned: ${checks.join(", ")}`,
  remediation: () => `do what the report says below each !, then look again: mosaic gateway doctor --strict`
}) {}

export class RecordsDiffer extends ErrorClass<RecordsDiffer>()(
  "RecordsDiffer",
  { undone: Schema.Int, forgotten: Schema.Int },
  {
    code: "RECORDS_DIFFER",
    title: "The records and the CA do not know the same revocations",
    explanation:
      "Either was restored from a backup that is older than a revocation. A grant whose revocation the records have lost is active again.",
    httpStatus: 500,
    exitCode: ExitCode.storage,
    retryable: false,
    message: ({ forgotten, undone }) =>
      `${undone} revocation(s) that the records have lost, ${forgotten} that the CA has lost`,
    remediation: () => `suspend those grants and revoke again: mosaic federation reconcile --apply`
  }
) {}

export class InternalError extends ErrorClass<InternalError>()(
  "InternalError",
  { defect: Schema.String },
  {
    code: "INTERNAL_ERROR",
    title: "A defect in this program",
    explanation: "Something happened that the program holds to be impossible. No certificate was handed out.",
    httpStatus: 500,
    exitCode: ExitCode.bug,
    retryable: false,
    message: ({ defect }) => defect,
    remediation: () => `run the command again with MOSAIC_LOG_LEVEL=debug and report what it prints`
  }
) {}
