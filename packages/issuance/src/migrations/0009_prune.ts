/** What refers to a certificate is found by it, so that deleting one does not read whole tables. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const prune = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    CREATE INDEX federation_enrollment_tokens_used ON federation_enrollment_tokens (used_serial)
    WHERE used_serial IS NOT NULL`
  yield* sql`
    CREATE INDEX federation_idempotency_keys_serial ON federation_idempotency_keys (serial) WHERE serial IS NOT NULL`
})
