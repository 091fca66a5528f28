/**
 * An `Issuance` whose refusals are on the audit record. What happens from the intent on is recorded with it, by
 * `GrantRepo`; what is refused before has left no other trace.
 */
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { Effect, Layer } from "effect"
import { currentIssuance } from "./AuditRecord.ts"
import { AuditRepo } from "./AuditRepo.ts"
import { Issuance, type IssuanceError } from "./Issuance.ts"

/** Takes the place of the `Issuance` that it is given. */
export const layer = Layer.effect(
  Issuance,
  Effect.gen(function* () {
    const issuance = yield* Issuance
    const { refusing } = yield* AuditRepo

    const audited = (grantId: GrantId, issue: Effect.Effect<IssuedCert, IssuanceError>) =>
      Effect.flatMap(currentIssuance, (event) =>
        // A grant that ended in flight is on record with its certificate.
        refusing({ ...event, grantId }, issue, ({ _tag }) => _tag === "GrantEndedInFlight")
      )

    return Issuance.of({
      issue: (request) => audited(request.grantId, issuance.issue(request)),
      issueUnder: (request) => audited(request.grant.id, issuance.issueUnder(request))
    })
  })
)
