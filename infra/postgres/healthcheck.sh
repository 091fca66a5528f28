#!/bin/sh
# Healthy means: over TCP, in the gateway's database, a vector can be computed and a transaction that writes can commit.
# pg_isready alone is content with a server that is read-only, full, or still without its database.

set -eu

export PGPASSWORD="${POSTGRES_PASSWORD:-}" PGCONNECT_TIMEOUT=3
psql --host 127.0.0.1 --port "${PGPORT:-5432}" --username "${POSTGRES_USER:-mosaic}" \
  --dbname "${POSTGRES_DB:-mosaic}" --quiet --no-align --tuples-only --no-psqlrc --set ON_ERROR_STOP=1 >/dev/null <<'SQL'
DO $$ BEGIN
  IF current_setting('transaction_read_only') <> 'off' THEN RAISE EXCEPTION 'the database is read-only'; END IF;
END $$;
BEGIN;
SELECT '[1,2,3]'::vector <-> '[1,2,4]';
-- Gives the transaction an id, so that its commit is written to the log and the disk.
SELECT pg_current_xact_id();
COMMIT;
SQL
