/**
 * An `Issuance` whose refusals are on the audit record. What happens from the intent on is recorded with it, by
 * `GrantRepo`; what is refused before has left no other trace.
 */
import { Effect, Layer } from "effect"
import { currentIssuance } from "./AuditRecord.ts"
import { AuditRepo } from "./AuditRepo.ts"
import { Issuance } from "./Issuance.ts"

/** Takes the place of the `Issuance` that it is given. */
export const layer = Layer.effect(
  Issuance,
  Effect.gen(function* () {
    const issuance = yield* Issuance
    const { refusing } = yield* AuditRepo
    return Issuance.of({
      issue: Effect.fnUntraced(function* (request) {
        const event = { ...(yield* currentIssuance), grantId: request.grantId }
        // A grant that ended in flight is on record with its certificate.
        return yield* refusing(event, issuance.issue(request), ({ _tag }) => _tag === "GrantEndedInFlight")
      })
    })
  })
)
