/**
 * The audit record: one row for each decision, written with what it decides and never changed. Its chain lies in a table
 * of its own, so that whoever seals needs no right to change a record. Heads and checkpoints are what is signed of it.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const audit = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    CREATE TABLE federation_audit (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      at timestamptz NOT NULL CHECK (isfinite(at)),
      action text NOT NULL CHECK (action ~ '^[a-z][a-z.-]{0,63}$'),
      outcome text NOT NULL CHECK (outcome ~ '^[a-z][a-z-]{0,63}$'),
      requester text NOT NULL,
      request_id text NOT NULL,
      grant_id uuid,
      serial text,
      subject text,
      error_code text CHECK (error_code ~ '^[A-Z][A-Z0-9_]{0,63}$'),
      detail text
    )`
  yield* sql`CREATE INDEX federation_audit_grant ON federation_audit (grant_id, id DESC)`
  // No reference to the record: that one is gone is for the chain to tell.
  yield* sql`
    CREATE TABLE federation_audit_chain (
      height bigint PRIMARY KEY CHECK (height > 0),
      record_id bigint NOT NULL UNIQUE,
      hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$')
    )`
  const signed = sql`
    height bigint NOT NULL CHECK (height >= 0),
    hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    at timestamptz NOT NULL CHECK (isfinite(at)),
    public_key text NOT NULL,
    signature text NOT NULL`
  yield* sql`CREATE TABLE federation_audit_heads (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${signed})`
  yield* sql`CREATE INDEX federation_audit_heads_height ON federation_audit_heads (height DESC)`
  yield* sql`CREATE TABLE federation_audit_checkpoints (${signed}, PRIMARY KEY (height))`
})
