/** The API keys of operators: of each only a hash, what it allows, and when it was last used. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const apiKeys = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    CREATE TABLE federation_api_keys (
      id text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
      name text NOT NULL,
      scope text NOT NULL CHECK (scope IN ('read', 'issue', 'admin')),
      key_sha256 text NOT NULL UNIQUE CHECK (key_sha256 ~ '^[0-9a-f]{64}$'),
      created_at timestamptz NOT NULL CHECK (isfinite(created_at)),
      expires_at timestamptz CHECK (isfinite(expires_at)),
      revoked_at timestamptz CHECK (isfinite(revoked_at)),
      rotated_to text REFERENCES federation_api_keys,
      last_used_at timestamptz CHECK (isfinite(last_used_at)),
      last_used_from text,
      CONSTRAINT federation_api_keys_last_use_has_a_place CHECK ((last_used_at IS NULL) = (last_used_from IS NULL))
    )`
})
