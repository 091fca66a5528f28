/**
 * How a peer comes to its certificates: enrollment tokens, of which the database keeps a hash; which certificate each
 * renewal took the place of; and the proofs of renewal that were seen, so that none is taken twice.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const peers = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    CREATE TABLE federation_enrollment_tokens (
      id uuid PRIMARY KEY,
      grant_id uuid NOT NULL REFERENCES federation_grants ON DELETE CASCADE,
      token_sha256 text NOT NULL UNIQUE CHECK (token_sha256 ~ '^[0-9a-f]{64}$'),
      key_sha256 text CHECK (key_sha256 ~ '^[0-9a-f]{64}$'),
      created_at timestamptz NOT NULL CHECK (isfinite(created_at)),
      created_by text NOT NULL,
      expires_at timestamptz NOT NULL CHECK (isfinite(expires_at)),
      revoked_at timestamptz CHECK (isfinite(revoked_at)),
      claim uuid,
      claimed_until timestamptz CHECK (isfinite(claimed_until)),
      used_serial text REFERENCES federation_certificates ON DELETE CASCADE,
      used_at timestamptz CHECK (isfinite(used_at)),
      used_from text,
      used_by_request text,
      CONSTRAINT federation_enrollment_tokens_live_for_a_while CHECK (created_at < expires_at),
      CONSTRAINT federation_enrollment_tokens_claim_has_an_end CHECK ((claim IS NULL) = (claimed_until IS NULL)),
      CONSTRAINT federation_enrollment_tokens_used_when_where_and_by_which CHECK (
        num_nonnulls(used_serial, used_at, used_from, used_by_request) IN (0, 4)
      )
    )`
  yield* sql`
    CREATE INDEX federation_enrollment_tokens_grant ON federation_enrollment_tokens (grant_id, created_at DESC, id DESC)`
  yield* sql`
    CREATE TABLE federation_renewals (
      serial text PRIMARY KEY REFERENCES federation_certificates ON DELETE CASCADE,
      renewed_serial text NOT NULL REFERENCES federation_certificates ON DELETE CASCADE,
      CONSTRAINT federation_renewals_of_another CHECK (serial <> renewed_serial)
    )`
  yield* sql`CREATE INDEX federation_renewals_renewed ON federation_renewals (renewed_serial)`
  yield* sql`
    CREATE TABLE federation_renewal_proofs (
      proof_sha256 text PRIMARY KEY CHECK (proof_sha256 ~ '^[0-9a-f]{64}$'),
      forget_at timestamptz NOT NULL CHECK (isfinite(forget_at))
    )`
  yield* sql`CREATE INDEX federation_renewal_proofs_forget ON federation_renewal_proofs (forget_at)`
})
