/** What a peer finds out by itself: before it trusts a gateway with its token, and about the directory that it lives in. */
import { DateTime, Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

export class EnrollmentUrlMismatch extends ErrorClass<EnrollmentUrlMismatch>()(
  "EnrollmentUrlMismatch",
  { given: Schema.String, inToken: Schema.String },
  {
    code: "ENROLLMENT_URL_MISMATCH",
    title: "The token is of another gateway than --url",
    explanation:
      "An enrollment token carries the URL of the gateway that made it, and is sent nowhere else. Nothing was asked.",
    httpStatus: 400,
    exitCode: ExitCode.usage,
    retryable: false,
    message: ({ given, inToken }) => `--url is ${given}, the token is for ${inToken}`,
    remediation: () =>
      `leave --url out, or give the token of that gateway; where the token comes as a surprise, ask the grantor before you use it`
  }
) {}

export class GatewayRootsRefused extends ErrorClass<GatewayRootsRefused>()(
  "GatewayRootsRefused",
  { url: Schema.String, problem: Schema.String },
  {
    code: "GATEWAY_ROOTS_REFUSED",
    title: "The gateway does not show the root that the token names",
    explanation:
      "Before anything is trusted, GET /v1/roots is asked for without a secret, and every certificate in the answer must have a SHA-256 that the token carries. The token was not sent.",
    httpStatus: 502,
    exitCode: ExitCode.unavailable,
    retryable: false,
    message: ({ problem, url }) => `${url}/v1/roots: ${problem}`,
    remediation: () =>
      `see that the URL leads to the grantor's gateway and to nobody else; after a change of its roots ask for a new token: mosaic federation token create --grant GRANT`
  }
) {}

export class PeerDirectoryUnusable extends ErrorClass<PeerDirectoryUnusable>()(
  "PeerDirectoryUnusable",
  { directory: Schema.String, problem: Schema.String, advice: Schema.String },
  {
    code: "PEER_DIRECTORY_UNUSABLE",
    title: "The peer's directory cannot be used",
    explanation:
      "The directory of key and certificate is not there, is not as enroll left it, or may be changed by others.",
    httpStatus: 500,
    exitCode: ExitCode.storage,
    retryable: false,
    message: ({ directory, problem }) => `${directory}: ${problem}`,
    remediation: ({ advice }) => advice
  }
) {}

export class PeerDirectoryBusy extends ErrorClass<PeerDirectoryBusy>()(
  "PeerDirectoryBusy",
  {
    directory: Schema.String,
    /** Null where that process does not tell it. */
    pid: Schema.NullOr(Schema.Int)
  },
  {
    code: "PEER_DIRECTORY_BUSY",
    title: "Another process works on the peer's directory",
    explanation:
      "One enroll or agent at a time may change a directory. The lock ends with the process that holds it, however that ends.",
    httpStatus: 409,
    exitCode: ExitCode.storage,
    retryable: true,
    message: ({ directory, pid }) =>
      pid === null
        ? `${directory} is in use by a process that does not answer; it may be stopped`
        : `${directory} is in use by process ${pid}`,
    remediation: ({ pid }) =>
      pid === null
        ? `find that process, then let it go on (kill -CONT PID) or end it (kill -KILL PID): pgrep -af federation`
        : `let that process do its work, or end it first: kill ${pid}`
  }
) {}

export class RenewalHookFailed extends ErrorClass<RenewalHookFailed>()(
  "RenewalHookFailed",
  { command: Schema.String, outcome: Schema.String },
  {
    code: "RENEWAL_HOOK_FAILED",
    title: "The command after the renewal failed",
    explanation:
      "The new key and certificate are in place, and renewals go on; whoever uses them may not have been told. The command is run again later.",
    httpStatus: 500,
    exitCode: ExitCode.configuration,
    retryable: true,
    message: ({ command, outcome }) => `${command}: ${outcome}`,
    remediation: () =>
      `run the command by hand and correct it; it is one program and its arguments, run without a shell, with MOSAIC_PEER_CERT and the other names of docs/federation/peer.md`
  }
) {}

export class RenewalOverdue extends ErrorClass<RenewalOverdue>()(
  "RenewalOverdue",
  { serial: Schema.String, dueAt: Schema.DateTimeUtcFromString, notAfter: Schema.DateTimeUtcFromString },
  {
    code: "RENEWAL_OVERDUE",
    title: "The renewal is due, and nobody does it",
    explanation:
      "The certificate is past two thirds of the time between its receipt and its end, and no agent runs on its directory. It works until it ends.",
    httpStatus: 500,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ dueAt, notAfter, serial }) =>
      `certificate ${serial} was to be renewed at ${DateTime.formatIso(dueAt)} and ends at ${DateTime.formatIso(notAfter)}`,
    remediation: () => `start the agent: mosaic federation agent --dir DIR, or with --once from a timer`
  }
) {}

export const PeerSideError = Schema.Union([
  EnrollmentUrlMismatch,
  GatewayRootsRefused,
  PeerDirectoryUnusable,
  PeerDirectoryBusy,
  RenewalHookFailed,
  RenewalOverdue
])

export type PeerSideError = typeof PeerSideError.Type
