/**
 * What the database knows and a process cannot count: certificates that live, tasks that wait, the audit record. It is
 * read when somebody asks for metrics, at most every five seconds, and says when: a gauge whose source is away must not
 * look fresh.
 */
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { CertificateLedger } from "@mosaic-federation/issuance/CertificateLedger"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { Clock, Context, Duration, Effect, Layer, Metric } from "effect"
import {
  auditHeight,
  auditUnsealed,
  certificatesExpiring,
  certificatesLive,
  ledgerReadAt,
  queueDepth,
  queueOldestDue
} from "./Metrics.ts"

/** A certificate that has less left than this counts as expiring. */
const soon = Duration.hours(1)

export class LedgerGauges extends Context.Service<
  LedgerGauges,
  {
    /** Never fails: where the database is away the gauges keep what they had. */
    readonly refresh: Effect.Effect<void>
  }
>()("@mosaic-federation/gateway/LedgerGauges") {
  static readonly layerNoDeps = Layer.effect(
    LedgerGauges,
    Effect.gen(function* () {
      const audit = yield* AuditRepo
      const ledger = yield* CertificateLedger
      const tasks = yield* TaskRepo

      const read = Effect.gen(function* () {
        const [{ expiring, live }, depth, { head, unsealed }] = yield* Effect.all(
          [ledger.census(soon), tasks.depth, audit.state],
          { concurrency: "unbounded" }
        )
        yield* Metric.update(certificatesLive, live)
        yield* Metric.update(certificatesExpiring, expiring)
        yield* Metric.update(Metric.withAttributes(queueDepth, { state: "due" }), depth.due)
        yield* Metric.update(Metric.withAttributes(queueDepth, { state: "running" }), depth.running)
        yield* Metric.update(
          Metric.withAttributes(queueDepth, { state: "waiting" }),
          depth.open - depth.due - depth.running
        )
        yield* Metric.update(queueOldestDue, depth.oldestDueSeconds)
        yield* Metric.update(auditHeight, head.height)
        yield* Metric.update(auditUnsealed, unsealed)
        yield* Metric.update(ledgerReadAt, (yield* Clock.currentTimeMillis) / 1000)
      }).pipe(
        Effect.timeout("2 seconds"),
        Effect.catch((error) => Effect.logDebug("gauges not read", { why: error._tag }))
      )

      return LedgerGauges.of({ refresh: yield* Effect.cachedWithTTL(read, "5 seconds") })
    })
  )
}
