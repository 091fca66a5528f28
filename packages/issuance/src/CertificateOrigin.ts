/**
 * What is committed with a certificate because of its origin: an enrollment token is used up by the commit of its
 * certificate and by nothing else, and a renewal is on record from its intent on. `Issuance` knows nothing of either; its
 * `GrantRepo` does, when it is this one.
 */
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { type StorageError, StorageFailed } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { type CertificateOrigin, CurrentOrigin } from "./CurrentOrigin.ts"
import { GrantRepo, type IssuanceIntent, type RecordIssuedResult, revokedSince } from "./GrantRepo.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { transactionOn } from "./internal/transactionOn.ts"
import { type TokenUse, useUpOperation, useUpToken } from "./internal/useUpToken.ts"
import { RenewalRepo } from "./RenewalRepo.ts"

type Renewal = Extract<CertificateOrigin, { readonly _tag: "Renewal" }>

const SerialRow = Schema.Struct({ serial: SerialNumber })

const renewalOperation = "record a renewal"

/** The renewal was allowed by what no longer holds: whoever allowed it has to look again. */
export const isOvertakenRenewal = (error: { readonly _tag: string; readonly operation?: string }): boolean =>
  error._tag === "StorageFailed" && error.operation === renewalOperation

const make = Effect.gen(function* () {
  const sql = yield* SqlClient
  const grants = yield* GrantRepo
  const renewals = yield* RenewalRepo
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

  const isRevoked = (serial: SerialNumber) =>
    Effect.map(
      grants.certificates({ serial, limit: 1 }),
      ([record]) => record === undefined || revokedSince(record) !== null
    )

  /** Until the commit: whoever renews or revokes the same certificate comes before this or after it. */
  const hold = (serial: SerialNumber) =>
    rowsOf(
      renewalOperation,
      SerialRow,
      sql`SELECT serial FROM federation_certificates WHERE serial = ${serial} FOR UPDATE`
    )

  /** What allowed the renewal is looked at once more, when nobody can change it any more. */
  const recordRenewal = Effect.fnUntraced(function* (
    { newest, renewedSerial }: Renewal,
    { csrSha256, serial }: IssuanceIntent
  ) {
    yield* hold(renewedSerial)
    const found = Option.map(yield* renewals.newest(renewedSerial, csrSha256), ({ by }) => by)
    if (Option.getOrNull(found) !== newest || (yield* isRevoked(renewedSerial))) {
      return yield* new StorageFailed({
        operation: renewalOperation,
        reason: `certificate ${renewedSerial} was renewed or revoked meanwhile`
      })
    }
    yield* rowsOf(
      renewalOperation,
      SerialRow,
      sql`
        INSERT INTO federation_renewals (serial, renewed_serial) VALUES (${serial}, ${renewedSerial})
        RETURNING serial`
    )
  })

  return GrantRepo.of({
    ...grants,
    recordIntent: Effect.fnUntraced(function* (intent) {
      const origin = yield* CurrentOrigin
      if (origin._tag !== "Renewal") return yield* grants.recordIntent(intent)
      const both = Effect.tap(grants.recordIntent(intent), ({ _tag }) =>
        _tag === "Recorded" ? recordRenewal(origin, intent) : Effect.void
      )
      return yield* inTransaction(renewalOperation, both)
    }),
    recordIssued: Effect.fnUntraced(function* (issued, fingerprintSha256) {
      const origin = yield* CurrentOrigin
      const record = grants.recordIssued(issued, fingerprintSha256)
      switch (origin._tag) {
        case "Operator":
          return yield* record
        case "Enrollment": {
          const both = Effect.tap(record, ({ _tag }) =>
            _tag === "Recorded" ? useUp({ ...origin, serial: issued.serial }) : Effect.void
          )
          return yield* inTransaction("record the certificate", both)
        }
        case "Renewal": {
          const { renewedSerial } = origin
          const unlessRevoked = Effect.gen(function* (): Effect.fn.Return<RecordIssuedResult, StorageError> {
            yield* hold(renewedSerial)
            return (yield* isRevoked(renewedSerial))
              ? { _tag: "Overtaken", problem: `certificate ${renewedSerial} was revoked during its renewal` }
              : yield* record
          })
          return yield* inTransaction("record the certificate", unlessRevoked)
        }
      }
    })
  })
})

/** A `GrantRepo` that commits the origin of each certificate with its row. */
export const layer = Layer.effect(GrantRepo, make).pipe(Layer.provide(RenewalRepo.layerNoDeps))
