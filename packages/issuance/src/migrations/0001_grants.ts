/** Grants. A row that contradicts itself, or a revocation that is taken back, is refused by the database. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const grants = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    CREATE TABLE federation_grants (
      id uuid PRIMARY KEY,
      subject_user_id uuid NOT NULL,
      peer text NOT NULL CHECK (peer ~ '^[\\x21-\\x7e]{1,253}$'),
      scopes text[] NOT NULL
        CHECK (array_position(scopes, NULL) IS NULL AND cardinality(scopes) <= 64 AND coalesce(array_ndims(scopes), 1) = 1),
      status text NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
      expires_at timestamptz NOT NULL CHECK (isfinite(expires_at)),
      created_at timestamptz NOT NULL CHECK (isfinite(created_at)),
      revoked_at timestamptz CHECK (isfinite(revoked_at)),
      revocation_reason text,
      CONSTRAINT federation_grants_revoked_when_and_why CHECK (
        (status = 'revoked') = (revoked_at IS NOT NULL) AND (status = 'revoked') = (revocation_reason IS NOT NULL)
      ),
      CONSTRAINT federation_grants_subject UNIQUE (id, subject_user_id)
    )`
  yield* sql`CREATE INDEX federation_grants_peer ON federation_grants (peer, created_at DESC, id DESC)`
  yield* sql`
    CREATE INDEX federation_grants_subject_created ON federation_grants (subject_user_id, created_at DESC, id DESC)`
  yield* sql`CREATE INDEX federation_grants_expires_at ON federation_grants (expires_at)`
  yield* sql`CREATE INDEX federation_grants_created_at ON federation_grants (created_at DESC, id DESC)`
  yield* sql`
    CREATE FUNCTION federation_grants_stay_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'grant % is revoked, and a revocation is final', OLD.id USING ERRCODE = 'check_violation';
    END
    $$`
  yield* sql`
    CREATE TRIGGER federation_grants_stay_revoked BEFORE UPDATE ON federation_grants
    FOR EACH ROW WHEN (OLD.status = 'revoked') EXECUTE FUNCTION federation_grants_stay_revoked()`
})
