/**
 * The advisory locks by which the users of one server know of each other. Locks end with the session that took them, and
 * sessions with their process, however that ends.
 */
import { Effect } from "effect"
import type * as PgConnection from "@effect/sql-pg/PgConnection"

/** Every user holds this one shared; who gets it alone is the last one, and may stop the server. */
const use = "7236849, 0"

/** Every user holds one that is its own, from before it takes the first until its session ends. */
const presence = 7_236_850

/** Held by the guard. */
const guard = "7236851, 0"

/** True where the server has no guard yet. Waits while somebody stops the server, and then fails with the session. */
export const enter = (connection: PgConnection.PgConnection) =>
  Effect.map(
    connection.queryValues(`
      SELECT pg_advisory_lock(${presence}, pg_backend_pid()), pg_advisory_lock_shared(${use}),
        pg_try_advisory_lock_shared(${guard}) AND pg_advisory_unlock_shared(${guard})`),
    ([row]) => row?.[2] === true
  )

/** True where nobody else is left; newcomers wait from then on, until this session or the server ends. */
export const leave = (connection: PgConnection.PgConnection) =>
  Effect.map(
    connection.queryValues(`SELECT pg_advisory_unlock_shared(${use}), pg_try_advisory_lock(${use})`),
    ([row]) => row?.[1] === true
  )

/**
 * Stops the server when the last user is gone without having done so, killed for example. It waits inside the server,
 * for one user's own lock after the other, and a session that waits goes on when its client has gone. Once a minute it
 * begins anew, so that its snapshot does not keep dead rows from being vacuumed.
 */
export const guardBlock = `
  DO $$
  DECLARE
    present int;
  BEGIN
    IF NOT pg_try_advisory_lock(${guard}) THEN RETURN; END IF;
    PERFORM set_config('lock_timeout', '60s', false);
    LOOP
      SELECT objid::int INTO present FROM pg_locks
      WHERE locktype = 'advisory' AND classid = ${presence} AND granted AND pid <> pg_backend_pid() LIMIT 1;
      IF FOUND THEN
        BEGIN
          PERFORM pg_advisory_lock(${presence}, present);
          PERFORM pg_advisory_unlock(${presence}, present);
        EXCEPTION WHEN lock_not_available THEN
          NULL;
        END;
      ELSIF pg_try_advisory_lock(${use}) THEN
        EXECUTE format('COPY (SELECT 1) TO PROGRAM %L',
          'read _; kill -INT ' || split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int);
        PERFORM pg_sleep(60);
        RETURN;
      ELSE
        PERFORM pg_sleep(0.05);
      END IF;
      COMMIT;
    END LOOP;
  END
  $$`
