/** One row for every serial that was ever chosen: first the intent, then the outcome. No serial is used twice. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const certificates = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    CREATE TABLE federation_certificates (
      serial text PRIMARY KEY CHECK (serial ~ '^[1-9][0-9]{18,38}$'),
      grant_id uuid NOT NULL,
      subject_user_id uuid NOT NULL,
      csr_sha256 text NOT NULL CHECK (csr_sha256 ~ '^[0-9a-f]{64}$'),
      state text NOT NULL CHECK (state IN ('intent', 'issued', 'refused', 'withheld', 'ambiguous')),
      requested_at timestamptz NOT NULL CHECK (isfinite(requested_at)),
      not_before timestamptz,
      not_after timestamptz NOT NULL CHECK (isfinite(not_after)),
      fingerprint_sha256 text UNIQUE CHECK (fingerprint_sha256 ~ '^[0-9a-f]{64}$'),
      full_chain_pem text CHECK (full_chain_pem LIKE '-----BEGIN CERTIFICATE-----%'),
      error_code text CHECK (error_code ~ '^[A-Z][A-Z0-9_]{0,63}$'),
      revoked_at_ca timestamptz CHECK (isfinite(revoked_at_ca)),
      settled_at timestamptz CHECK (isfinite(settled_at)),
      CONSTRAINT federation_certificates_of_the_grants_subject
        FOREIGN KEY (grant_id, subject_user_id) REFERENCES federation_grants (id, subject_user_id),
      CONSTRAINT federation_certificates_issued_has_a_certificate CHECK (
        (state = 'issued') = (not_before IS NOT NULL)
        AND (state = 'issued') = (fingerprint_sha256 IS NOT NULL)
        AND (state = 'issued') = (full_chain_pem IS NOT NULL)
      ),
      CONSTRAINT federation_certificates_failure_has_a_code CHECK (
        (state IN ('refused', 'withheld', 'ambiguous')) = (error_code IS NOT NULL)
      ),
      CONSTRAINT federation_certificates_intent_is_unsettled CHECK (
        (state = 'intent') = (settled_at IS NULL) AND (state <> 'intent' OR revoked_at_ca IS NULL)
      ),
      CONSTRAINT federation_certificates_validity CHECK (not_before < not_after AND requested_at < not_after)
    )`
  yield* sql`CREATE INDEX federation_certificates_grant ON federation_certificates (grant_id, requested_at DESC)`
  yield* sql`CREATE INDEX federation_certificates_not_after ON federation_certificates (not_after)`
  yield* sql`CREATE INDEX federation_certificates_requested_at ON federation_certificates (requested_at DESC)`
})
