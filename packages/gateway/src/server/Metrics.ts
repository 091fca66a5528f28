/** What the server counts, by the names under which Prometheus gets it (docs/api.md). */
import { Effect, Metric } from "effect"

/** Seconds. */
const durations = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

// What has attributes is a metric for each set of them: one that is used with several in turn makes its key anew each time.

export const httpRequests = (attributes: {
  readonly method: string
  readonly route: string
  readonly status: string
}) =>
  Metric.counter("mosaic_http_requests_total", {
    description: "Requests answered, by method, route and status",
    incremental: true,
    attributes
  })

export const httpDuration = (attributes: { readonly method: string; readonly route: string }) =>
  Metric.histogram("mosaic_http_request_duration_seconds", {
    description: "Seconds from a request's arrival to its answer, by method and route",
    boundaries: durations,
    attributes
  })

export const httpInFlight = Metric.gauge("mosaic_http_requests_in_flight", {
  description: "Requests that are being answered"
})

export const certificatesLive = Metric.gauge("mosaic_certificates_live", {
  description:
    "Certificates that were handed out, are not over and not revoked, under grants that are not revoked"
})

export const certificatesExpiring = Metric.gauge("mosaic_certificates_expiring", {
  description: "Those of them that end within an hour"
})

export const queueDepth = Metric.gauge("mosaic_queue_tasks", {
  description: "Tasks that are not done, by state: due, running, waiting for their next try"
})

export const queueOldestDue = Metric.gauge("mosaic_queue_oldest_due_seconds", {
  description: "How long the task that was to be done first has been due"
})

export const auditHeight = Metric.gauge("mosaic_audit_height", {
  description: "Height of the audit record's chain: entries sealed so far, those that were pruned included"
})

export const auditUnsealed = Metric.gauge("mosaic_audit_unsealed", {
  description: "Audit records that are committed and not yet in the chain"
})

export const ledgerReadAt = Metric.gauge("mosaic_ledger_read_timestamp_seconds", {
  description:
    "When the gauges of certificates, tasks and audit were last read from the database, in Unix time"
})

export const valkeyUp = Metric.gauge("mosaic_valkey_up", {
  description: "1 while Valkey answers and takes writes, 0 while it is away; nothing in the local tier"
})

export const grantStatusAnswers = (from: "cache" | "row") =>
  Metric.counter("mosaic_grant_status_answers_total", {
    description: "Statuses of grants that were asked for, by where the answer came from: cache, row",
    incremental: true,
    attributes: { from }
  })

const issuances = (outcome: string) =>
  Metric.counter("mosaic_issuances_total", {
    description: "Issuances asked for, by the code of their outcome: issued, or that of an error",
    incremental: true,
    attributes: { outcome }
  })

const issued = issuances("issued")

/** Whatever comes of it is counted once. */
export const countIssuance = <A, E extends { readonly code: string }, R>(issuance: Effect.Effect<A, E, R>) =>
  issuance.pipe(
    Effect.tap(() => Metric.update(issued, 1)),
    Effect.tapError(({ code }) => Metric.update(issuances(code), 1))
  )
