/** What is on record of renewals: which certificates took the place of one, and which proofs were taken. */
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as Database from "./Database.ts"
import { rowsOf } from "./internal/rowsOf.ts"

export interface Renewed {
  readonly by: SerialNumber
  readonly requestedAt: DateTime.Utc
}

const RenewedRow = Schema.Struct({ serial: SerialNumber, requested_at: Schema.DateTimeUtcFromDate })

const ProofRow = Schema.Struct({ proof_sha256: Schema.String })

export class RenewalRepo extends Context.Service<
  RenewalRepo,
  {
    /** The newest certificate that was issued, or is being issued, in place of this one for another CSR. */
    readonly newest: (
      renewed: SerialNumber,
      exceptCsrSha256: string
    ) => Effect.Effect<Option.Option<Renewed>, StorageError>
    /** False where it was taken before. */
    readonly takeProof: (proofSha256: string, forgetAt: DateTime.Utc) => Effect.Effect<boolean, StorageError>
  }
>()("@mosaic-federation/issuance/RenewalRepo") {
  /** Needs a migrated database. */
  static readonly layerNoDeps = Layer.effect(
    RenewalRepo,
    Effect.gen(function* () {
      const sql = yield* SqlClient

      const newest = Effect.fn("RenewalRepo.newest")(function* (
        renewed: SerialNumber,
        exceptCsrSha256: string
      ) {
        const [row] = yield* rowsOf(
          "look for a renewal",
          RenewedRow,
          sql`
            SELECT c.serial, c.requested_at
            FROM federation_renewals r JOIN federation_certificates c ON c.serial = r.serial
            WHERE r.renewed_serial = ${renewed} AND c.state IN ('issued', 'intent')
              AND c.csr_sha256 <> ${exceptCsrSha256}
            ORDER BY c.requested_at DESC LIMIT 1`
        )
        return Option.map(
          Option.fromUndefinedOr(row),
          ({ requested_at: requestedAt, serial: by }): Renewed => ({ by, requestedAt })
        )
      })

      const takeProof = Effect.fn("RenewalRepo.takeProof")(function* (
        proofSha256: string,
        forgetAt: DateTime.Utc
      ) {
        const rows = yield* rowsOf(
          "take a proof",
          ProofRow,
          sql`
            WITH forgotten AS (
              DELETE FROM federation_renewal_proofs WHERE proof_sha256 IN (
                SELECT proof_sha256 FROM federation_renewal_proofs
                WHERE forget_at < ${DateTime.toDateUtc(yield* DateTime.now)} LIMIT 10 FOR UPDATE SKIP LOCKED
              )
            )
            INSERT INTO federation_renewal_proofs (proof_sha256, forget_at)
            VALUES (${proofSha256}, ${DateTime.toDateUtc(forgetAt)})
            ON CONFLICT (proof_sha256) DO NOTHING RETURNING proof_sha256`
        )
        return rows.length > 0
      })

      return RenewalRepo.of({ newest, takeProof })
    })
  )

  /** On `DATABASE_URL` or, without it, on the embedded PostgreSQL under `MOSAIC_HOME`. */
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Database.layer))
}
