/** What operators do with the audit record, on the database itself. */
import { AuditKey, type SignedPoint } from "@mosaic-federation/issuance/AuditKey"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { verifyChain } from "@mosaic-federation/issuance/AuditVerification"
import { DateTime, Effect } from "effect"
import type { AuditTailQuery } from "./AuditOperations.ts"

const page = 1000

export const makeAuditHere = Effect.fnUntraced(function* (seals: boolean) {
  const audit = yield* AuditRepo
  const key = yield* AuditKey
  const seal = seals ? audit.seal : Effect.succeed({ sealed: 0, more: false })

  return {
    tail: Effect.fn("AuditOperations.tail")(function* ({ grant, limit }: AuditTailQuery) {
      yield* seal
      const entries = yield* audit.tail({ limit, ...(grant === undefined ? {} : { grantId: grant }) })
      return { entries, unsealed: (yield* audit.state).unsealed }
    }),

    entries: Effect.fn("AuditOperations.entries")(function* (after: number) {
      yield* seal
      return yield* audit.entries({ after, limit: page })
    }),

    /** Nothing is built upon a chain that is broken. */
    verify: Effect.fn("AuditOperations.verify")(function* (kept: SignedPoint | null) {
      const before = yield* verifyChain(audit, key, { kept })
      let sealed = 0
      for (let last = yield* seal; last.sealed > 0; last = yield* seal) sealed += last.sealed
      const { end: _, ...verified } = sealed === 0 ? before : yield* verifyChain(audit, key, { kept })
      const { head: end, unsealed } = yield* audit.state
      const head = key.sign("head", end, DateTime.formatIso(yield* DateTime.now))
      if (seals && end.height > 0) yield* audit.recordHead(head)
      return { ...verified, head, unsealed }
    })
  }
})
