/** Which Idempotency-Key of whom stood for which request. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const idempotency = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    CREATE TABLE federation_idempotency_keys (
      requester text NOT NULL,
      key text NOT NULL,
      request_sha256 text NOT NULL CHECK (request_sha256 ~ '^[0-9a-f]{64}$'),
      first_at timestamptz NOT NULL CHECK (isfinite(first_at)),
      PRIMARY KEY (requester, key)
    )`
  yield* sql`CREATE INDEX federation_idempotency_keys_first ON federation_idempotency_keys (first_at)`
})
