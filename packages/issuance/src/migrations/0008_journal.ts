/**
 * Of each intent also the token that it goes to the CA with, who asked and by which request; until when somebody is at
 * work on it; and the how-manieth it is for its CSR, so that two programs that are asked at once do not both begin. Rows
 * of before have none of it. And of each Idempotency-Key the certificate that it brought.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const journal = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    ALTER TABLE federation_certificates
      ADD COLUMN jti text,
      ADD COLUMN requester text,
      ADD COLUMN request_id text,
      ADD COLUMN attempt integer CHECK (attempt > 0),
      ADD COLUMN held_until timestamptz NOT NULL DEFAULT now() + interval '15 minutes' CHECK (isfinite(held_until)),
      ADD CONSTRAINT federation_certificates_intent_is_whole CHECK (
        num_nonnulls(jti, requester, request_id, attempt) IN (0, 4)
      )`
  yield* sql`
    CREATE UNIQUE INDEX federation_certificates_attempt ON federation_certificates (csr_sha256, grant_id, attempt)`
  yield* sql`CREATE INDEX federation_certificates_intents ON federation_certificates (held_until) WHERE state = 'intent'`
  yield* sql`
    ALTER TABLE federation_idempotency_keys
      ADD COLUMN serial text REFERENCES federation_certificates ON DELETE CASCADE`
})
