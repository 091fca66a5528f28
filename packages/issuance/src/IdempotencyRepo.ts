/**
 * Remembers for a day which Idempotency-Key stood for which request, and which certificate it brought. A request that is
 * under way, or that failed, brought none: what a repeat of it does is the caller's.
 */
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { IdempotencyKeyReused } from "@mosaic-federation/domain/ServerErrors"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { certificateColumns, CertificateRow, goodCertificateOf, toCertificateRecord } from "./GrantRepo.ts"
import { rowsOf } from "./internal/rowsOf.ts"

export interface IdempotentRequest {
  /** Keys of one caller say nothing of another's. */
  readonly requester: string
  readonly key: string
  /** Lower-case hex, over all that the request asks for. */
  readonly requestSha256: string
}

const Row = Schema.Struct({ request_sha256: Schema.String, serial: Schema.NullOr(Schema.String) })

const KeyRow = Schema.Struct({ key: Schema.String })

export const keptFor = { hours: 24 } as const

export class IdempotencyRepo extends Context.Service<
  IdempotencyRepo,
  {
    /** The certificate that the same request with this key brought before, while it is good; another request is refused. */
    readonly take: (
      request: IdempotentRequest
    ) => Effect.Effect<Option.Option<IssuedCert>, IdempotencyKeyReused | StorageError>
    readonly answered: (request: IdempotentRequest, serial: SerialNumber) => Effect.Effect<void, StorageError>
  }
>()("@mosaic-federation/issuance/IdempotencyRepo") {
  static readonly layerNoDeps = Layer.effect(
    IdempotencyRepo,
    Effect.gen(function* () {
      const sql = yield* SqlClient

      const stillGood = Effect.fnUntraced(function* (serial: string, now: DateTime.Utc) {
        const [row] = yield* rowsOf(
          "find the certificate of an idempotency key",
          CertificateRow,
          sql`
            SELECT ${sql.literal(certificateColumns)} FROM federation_certificates c
            WHERE c.serial = ${serial}`
        )
        return row === undefined ? Option.none() : goodCertificateOf(toCertificateRecord(row), now)
      })

      const take = Effect.fn("IdempotencyRepo.take")(function* ({
        key,
        requester,
        requestSha256
      }: IdempotentRequest) {
        const now = yield* DateTime.now
        const at = DateTime.toDateUtc(now)
        const forgotten = DateTime.toDateUtc(DateTime.subtract(now, keptFor))
        yield* rowsOf(
          "forget idempotency keys",
          KeyRow,
          sql`DELETE FROM federation_idempotency_keys WHERE first_at < ${forgotten} RETURNING key`
        )
        // Of two at once one inserts; the other waits for its commit and then reads its row.
        const [row] = yield* rowsOf(
          "take an idempotency key",
          Row,
          sql`
            INSERT INTO federation_idempotency_keys (requester, key, request_sha256, first_at)
            VALUES (${requester}, ${key}, ${requestSha256}, ${at})
            ON CONFLICT (requester, key) DO UPDATE SET key = excluded.key
            RETURNING request_sha256, serial`
        )
        if (row === undefined) return yield* Effect.die(new Error("nothing was inserted"))
        if (row.request_sha256 !== requestSha256)
          return yield* new IdempotencyKeyReused({ idempotencyKey: key })
        return row.serial === null ? Option.none() : yield* stillGood(row.serial, now)
      })

      const answered = Effect.fn("IdempotencyRepo.answered")(function* (
        { key, requester, requestSha256 }: IdempotentRequest,
        serial: SerialNumber
      ) {
        yield* rowsOf(
          "note the certificate of an idempotency key",
          KeyRow,
          sql`
            UPDATE federation_idempotency_keys SET serial = ${serial}
            WHERE requester = ${requester} AND key = ${key} AND request_sha256 = ${requestSha256} RETURNING key`
        )
      })

      return IdempotencyRepo.of({ take, answered })
    })
  )
}
