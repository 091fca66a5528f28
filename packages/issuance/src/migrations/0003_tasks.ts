/**
 * What is still to be done, one row a task, written in the transaction that causes it: the row is the task, and nothing
 * else has to survive. And a notice to whoever listens, sent by the commit itself, of each grant whose row changed.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const tasks = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    CREATE TABLE federation_tasks (
      id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      kind text NOT NULL CHECK (kind ~ '^[a-z][a-z-]{0,63}$'),
      subject text NOT NULL,
      payload jsonb NOT NULL CHECK (jsonb_typeof(payload) = 'object'),
      state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'moot')),
      attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
      not_before timestamptz NOT NULL DEFAULT now() CHECK (isfinite(not_before)),
      created_at timestamptz NOT NULL DEFAULT now() CHECK (isfinite(created_at)),
      locked_by uuid,
      lock_until timestamptz CHECK (isfinite(lock_until)),
      last_error_code text CHECK (last_error_code ~ '^[A-Z][A-Z0-9_]{0,63}$'),
      done_at timestamptz CHECK (isfinite(done_at)),
      CONSTRAINT federation_tasks_lock_has_an_end CHECK ((locked_by IS NULL) = (lock_until IS NULL)),
      CONSTRAINT federation_tasks_open_is_not_done CHECK ((state = 'open') = (done_at IS NULL)),
      CONSTRAINT federation_tasks_only_open_is_locked CHECK (state = 'open' OR locked_by IS NULL)
    )`
  // A task that is open need not be written twice.
  yield* sql`CREATE UNIQUE INDEX federation_tasks_open_once ON federation_tasks (kind, subject) WHERE state = 'open'`
  yield* sql`CREATE INDEX federation_tasks_due ON federation_tasks (not_before) WHERE state = 'open'`
  yield* sql`CREATE INDEX federation_tasks_done ON federation_tasks (done_at) WHERE state <> 'open'`
  yield* sql`
    CREATE FUNCTION federation_grants_tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_notify('federation_grants', OLD.id::text);
      RETURN NULL;
    END
    $$`
  yield* sql`
    CREATE TRIGGER federation_grants_tell AFTER UPDATE OR DELETE ON federation_grants
    FOR EACH ROW EXECUTE FUNCTION federation_grants_tell()`
})
