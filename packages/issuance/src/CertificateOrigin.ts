/**
 * What is committed with a certificate because of its origin: an enrollment token is used up by the commit of its
 * certificate and by nothing else, and a renewal is on record from its intent on. `Issuance` knows nothing of either; its
 * `GrantRepo` does, when it is this one.
 */
import { StorageFailed } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { CurrentOrigin } from "./CurrentOrigin.ts"
import { GrantRepo } from "./GrantRepo.ts"
import { transactionOn } from "./internal/transactionOn.ts"
import { type TokenUse, useUpOperation, useUpToken } from "./internal/useUpToken.ts"

const make = Effect.gen(function* () {
  const sql = yield* SqlClient
  const grants = yield* GrantRepo
  const inTransaction = transactionOn(sql)

  /** A certificate that was recorded and then withheld is held by nobody: its token is as good as new. */
  const useUp = Effect.fnUntraced(function* (use: TokenUse) {
    const isFree = sql`t.revoked_at IS NULL AND NOT EXISTS (
      SELECT FROM federation_certificates c WHERE c.serial = t.used_serial AND c.state = 'issued'
    )`
    if (!(yield* useUpToken(sql, use, isFree))) {
      return yield* new StorageFailed({
        operation: useUpOperation,
        reason: `enrollment token ${use.tokenId} was used or revoked while its certificate was being issued`
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
        _tag === "Recorded" ? useUp({ ...origin, serial: issued.serial }) : Effect.void
      )
      return yield* inTransaction("record the certificate", both)
    })
  })
})

/** A `GrantRepo` that commits the origin of each certificate with its row. */
export const layer = Layer.effect(GrantRepo, make)
