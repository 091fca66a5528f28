/**
 * How a peer stands, computed from its directory and the clock at the moment of the question: a document, the metrics of
 * the same, and the error that stands for it. What a file said a while ago is not asked.
 */
import { isMosaicError, type MosaicError } from "@mosaic-federation/domain/MosaicError"
import { PeerCertificateExpired } from "@mosaic-federation/domain/PeerErrors"
import { RenewalOverdue } from "@mosaic-federation/domain/PeerSideErrors"
import { DateTime, Duration, Option } from "effect"
import type { AgentMemory } from "./AgentMemory.ts"
import type { Held } from "./PeerDirectory.ts"
import type { LockHolder } from "./ProcessLock.ts"
import { endsGrant, isOver, renewalTime } from "./RenewalTimes.ts"

/**
 * `valid` until the renewal is `due`; `failing`, `suspended` and `ending` (the grant has too little left for another
 * certificate) while tries fail and the certificate works; `over` and `expired` for good.
 */
export type PeerState = "valid" | "due" | "failing" | "suspended" | "ending" | "over" | "expired"

export interface PeerStanding {
  readonly held: Held
  readonly memory: AgentMemory
  /** The agent that runs. */
  readonly agent: Option.Option<LockHolder>
  readonly now: DateTime.Utc
}

const notAfterOf = ({ leaf }: Held) => DateTime.fromDateUnsafe(leaf.notAfter)

const stateOfError = ({ _tag }: MosaicError): PeerState => {
  if (_tag === "GrantSuspended") return "suspended"
  return _tag === "GrantTooShort" ? "ending" : "failing"
}

export const stateOf = ({ held, memory, now }: PeerStanding): PeerState => {
  const { error } = memory
  if (error !== null && isOver(error)) return error._tag === "PeerCertificateExpired" ? "expired" : "over"
  if (DateTime.isGreaterThanOrEqualTo(now, notAfterOf(held))) return "expired"
  if (error !== null) return stateOfError(error)
  return DateTime.isGreaterThanOrEqualTo(now, renewalTime(held)) ? "due" : "valid"
}

/** No certificate comes under it any more. A certificate may end before that, such as while its gateway is away. */
export const grantIsOver = (standing: PeerStanding): boolean => {
  const { error } = standing.memory
  if (error === null) return false
  return endsGrant(error) || (error._tag === "GrantTooShort" && stateOf(standing) === "expired")
}

const certificateHasEnded = (standing: PeerStanding): boolean =>
  stateOf(standing) === "expired" || standing.memory.error?._tag === "PeerCertificateRevoked"

export const expiredError = ({ leaf }: Held) =>
  new PeerCertificateExpired({ serial: leaf.serial, notAfter: DateTime.fromDateUnsafe(leaf.notAfter) })

/** A timer that runs the agent once may come a little late. */
const overdueAt = (held: Held) => {
  const dueAt = renewalTime(held)
  return DateTime.addDuration(dueAt, Duration.times(DateTime.distance(dueAt, notAfterOf(held)), 0.2))
}

/** None where all is well. */
export const troubleOf = (standing: PeerStanding): Option.Option<MosaicError> => {
  const { agent, held, memory, now } = standing
  switch (stateOf(standing)) {
    case "expired":
      return Option.some(expiredError(held))
    case "due":
      return Option.isNone(agent) && DateTime.isGreaterThan(now, overdueAt(held))
        ? Option.some(
            new RenewalOverdue({
              serial: held.leaf.serial,
              dueAt: renewalTime(held),
              notAfter: notAfterOf(held)
            })
          )
        : Option.none()
    case "valid":
      return Option.fromNullishOr(memory.hook?.error)
    default:
      return Option.fromNullishOr(memory.error)
  }
}

const iso = (instant: DateTime.Utc | null) => (instant === null ? null : DateTime.formatIso(instant))

const shownError = (error: unknown) => {
  if (!isMosaicError(error)) return null
  const { code, message, remediation, title } = error
  return { code, title, message, remediation }
}

/** When the next try is; null where there is none any more. */
export const nextTry = (standing: PeerStanding): DateTime.Utc | null => {
  const state = stateOf(standing)
  if (state === "over" || state === "expired") return null
  return standing.memory.nextTryAt ?? renewalTime(standing.held)
}

export const statusDocument = (standing: PeerStanding) => {
  const { agent, held, memory, now } = standing
  const { hook, hookRunning = null } = memory
  return {
    state: stateOf(standing),
    at: iso(now),
    gateway: held.url.origin,
    grantId: held.grantId,
    subjectUserId: held.subjectUserId,
    peer: held.peer,
    serial: held.leaf.serial,
    notBefore: held.leaf.notBefore.toISOString(),
    notAfter: held.leaf.notAfter.toISOString(),
    receivedAt: iso(held.receivedAt),
    renewAt: iso(renewalTime(held)),
    nextTryAt: iso(nextTry(standing)),
    lastTryAt: iso(memory.lastTryAt),
    failures: memory.failures,
    renewals: memory.renewals,
    error: shownError(memory.error),
    hook:
      hook === null
        ? null
        : { serial: hook.serial, at: iso(hook.at), failures: hook.failures, error: shownError(hook.error) },
    hookRunning:
      hookRunning === null || Option.isNone(agent)
        ? null
        : { serial: hookRunning.serial, since: iso(hookRunning.since) },
    agentRuns: Option.isSome(agent),
    agentPid: Option.match(agent, { onNone: () => null, onSome: ({ pid }) => pid })
  }
}

const seconds = (instant: DateTime.Utc) => DateTime.toEpochMillis(instant) / 1000

/**
 * The Prometheus text exposition format 0.0.4. Times, so that an alert compares them with its own clock and a file that
 * nobody writes any more does not go on saying that all is well.
 */
export const metricsText = (standing: PeerStanding): string => {
  const { held, memory, now } = standing
  const metric = (name: string, type: "gauge" | "counter", help: string, value: number) =>
    `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}{grant="${held.grantId}"} ${value}\n`
  return [
    metric(
      "mosaic_peer_certificate_not_after_timestamp_seconds",
      "gauge",
      "When the certificate ends.",
      held.leaf.notAfter.getTime() / 1000
    ),
    metric(
      "mosaic_peer_renewal_due_timestamp_seconds",
      "gauge",
      "When the certificate is to be renewed.",
      seconds(renewalTime(held))
    ),
    metric(
      "mosaic_peer_certificate_received_timestamp_seconds",
      "gauge",
      "When the certificate was received.",
      seconds(held.receivedAt)
    ),
    metric("mosaic_peer_renewals_total", "counter", "Certificates by renewal.", memory.renewals),
    metric("mosaic_peer_renewal_failures", "gauge", "Tries in a row that failed.", memory.failures),
    metric(
      "mosaic_peer_hook_failures",
      "gauge",
      "Runs of the hook in a row that failed.",
      memory.hook?.failures ?? 0
    ),
    metric(
      "mosaic_peer_grant_over",
      "gauge",
      "1 where no certificate comes under the grant any more.",
      grantIsOver(standing) ? 1 : 0
    ),
    metric(
      "mosaic_peer_certificate_ended",
      "gauge",
      "1 where the certificate has expired or is revoked: it cannot be renewed.",
      certificateHasEnded(standing) ? 1 : 0
    ),
    metric("mosaic_peer_agent_timestamp_seconds", "gauge", "When the agent last looked.", seconds(now))
  ].join("")
}
