/**
 * What is committed with a certificate because of its origin: an enrollment token is used up by the commit of its
 * certificate and by nothing else, and a renewal is on record from its intent on. `Issuance` knows nothing of either; its
 * `GrantRepo` does, when it is this one.
 */
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { StorageFailed } from "@mosaic-federation/domain/StorageErrors"
import { DateTime, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { auditBy } from "./AuditRecord.ts"
import { type CertificateOrigin, CurrentOrigin } from "./CurrentOrigin.ts"
import { GrantRepo } from "./GrantRepo.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { transactionOn } from "./internal/transactionOn.ts"

type Enrollment = Extract<CertificateOrigin, { readonly _tag: "Enrollment" }>

const IdRow = Schema.Struct({ id: Schema.String })

const make = Effect.gen(function* () {
  const sql = yield* SqlClient
  const grants = yield* GrantRepo
  const inTransaction = transactionOn(sql)

  /** A certificate that was recorded and then withheld is held by nobody: its token is as good as new. */
  const useUp = Effect.fnUntraced(function* ({ from, requestId, tokenId }: Enrollment, serial: SerialNumber) {
    const operation = "use up an enrollment token"
    const at = DateTime.toDateUtc(yield* DateTime.now)
    const audit = yield* auditBy(sql)
    const [used] = yield* rowsOf(
      operation,
      IdRow,
      sql`
        WITH used AS (
          UPDATE federation_enrollment_tokens t SET claim = NULL, claimed_until = NULL,
            used_serial = ${serial}, used_at = ${at}, used_from = ${from}, used_by_request = ${requestId}
          WHERE t.id = ${tokenId} AND t.revoked_at IS NULL AND NOT EXISTS (
            SELECT FROM federation_certificates c WHERE c.serial = t.used_serial AND c.state = 'issued'
          )
          RETURNING t.id, t.grant_id
        ), audited AS (${audit(
          at,
          {
            action: "token.redeem",
            outcome: "done",
            grantId: sql`used.grant_id`,
            serial,
            subject: tokenId,
            detail: `from ${from}`
          },
          sql`used`
        )})
        SELECT id FROM used`
    )
    if (used === undefined) {
      return yield* new StorageFailed({
        operation,
        reason: `enrollment token ${tokenId} was used or revoked while its certificate was being issued`
      })
    }
  })

  return GrantRepo.of({
    ...grants,
    recordIntent: Effect.fnUntraced(function* (intent) {
      const origin = yield* CurrentOrigin
      if (origin._tag !== "Renewal") return yield* grants.recordIntent(intent)
      const record = sql`
        INSERT INTO federation_renewals (serial, renewed_serial) VALUES (${intent.serial}, ${origin.renewedSerial})`
      const both = Effect.gen(function* () {
        const result = yield* grants.recordIntent(intent)
        if (result._tag === "Recorded") yield* record
        return result
      })
      return yield* inTransaction("record a renewal", both)
    }),
    recordIssued: Effect.fnUntraced(function* (issued, fingerprintSha256) {
      const origin = yield* CurrentOrigin
      const record = grants.recordIssued(issued, fingerprintSha256)
      if (origin._tag !== "Enrollment") return yield* record
      const both = Effect.tap(record, ({ _tag }) =>
        _tag === "Recorded" ? useUp(origin, issued.serial) : Effect.void
      )
      return yield* inTransaction("record the certificate", both)
    })
  })
})

/** A `GrantRepo` that commits the origin of each certificate with its row. */
export const layer = Layer.effect(GrantRepo, make)
