/** Remembers for a day which Idempotency-Key stood for which request. What a repeat is answered with is the caller's. */
import { IdempotencyKeyReused } from "@mosaic-federation/domain/ServerErrors"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Context, DateTime, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { rowsOf } from "./internal/rowsOf.ts"

export interface IdempotentRequest {
  /** Keys of one caller say nothing of another's. */
  readonly requester: string
  readonly key: string
  /** Lower-case hex, over all that the request asks for. */
  readonly requestSha256: string
}

const Row = Schema.Struct({ request_sha256: Schema.String, repeated: Schema.Boolean })

const kept = { hours: 24 } as const

export class IdempotencyRepo extends Context.Service<
  IdempotencyRepo,
  {
    /** True where the same request came with this key before; with another request it is refused. */
    readonly take: (request: IdempotentRequest) => Effect.Effect<boolean, IdempotencyKeyReused | StorageError>
  }
>()("@mosaic-federation/issuance/IdempotencyRepo") {
  static readonly layerNoDeps = Layer.effect(
    IdempotencyRepo,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      return IdempotencyRepo.of({
        take: Effect.fn("IdempotencyRepo.take")(function* ({ key, requester, requestSha256 }) {
          const now = yield* DateTime.now
          const at = DateTime.toDateUtc(now)
          const forgotten = DateTime.toDateUtc(DateTime.subtract(now, kept))
          yield* rowsOf(
            "forget idempotency keys",
            Schema.Struct({ key: Schema.String }),
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
              RETURNING request_sha256, xmax <> 0 AS repeated`
          )
          if (row === undefined) return yield* Effect.die(new Error("nothing was inserted"))
          if (row.request_sha256 !== requestSha256) {
            return yield* new IdempotencyKeyReused({ idempotencyKey: key })
          }
          return row.repeated
        })
      })
    })
  )
}
