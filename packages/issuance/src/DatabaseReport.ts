/** What PostgreSQL tells about itself, for people and for the doctor: it looks, and changes nothing. */
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { rowsOf } from "./internal/rowsOf.ts"

const ServerRow = Schema.Struct({
  version: Schema.String,
  user: Schema.String,
  database: Schema.String,
  readonly: Schema.Boolean
})

/** `readonly` is a standby: it takes no writes. */
export const serverFacts = Effect.gen(function* () {
  const sql = yield* SqlClient
  const [row] = yield* rowsOf(
    "ask PostgreSQL who it is",
    ServerRow,
    sql`
      SELECT current_setting('server_version') AS version, current_user::text AS user,
        current_database()::text AS database, pg_is_in_recovery() AS readonly`
  )
  return row ?? { version: "unknown", user: "unknown", database: "unknown", readonly: false }
}).pipe(Effect.withSpan("DatabaseReport.serverFacts"))

const ExtensionRow = Schema.Struct({
  installed: Schema.NullOr(Schema.String),
  available: Schema.NullOr(Schema.String)
})

/** The version of an extension in this database, and the one that the server could create. */
export const extension = Effect.fn("DatabaseReport.extension")(function* (name: string) {
  const sql = yield* SqlClient
  const [row] = yield* rowsOf(
    "look for an extension",
    ExtensionRow,
    sql`
      SELECT (SELECT extversion FROM pg_extension WHERE extname = ${name}) AS installed,
        (SELECT default_version FROM pg_available_extensions WHERE name = ${name}) AS available`
  )
  return row ?? { installed: null, available: null }
})

const TableRow = Schema.Struct({ name: Schema.String })

/** Every table of this version's schema; a test holds the list to the migrations. */
export const schemaTables = [
  "federation_api_keys",
  "federation_audit",
  "federation_audit_chain",
  "federation_audit_checkpoints",
  "federation_audit_heads",
  "federation_certificates",
  "federation_enrollment_tokens",
  "federation_grants",
  "federation_idempotency_keys",
  "federation_migrations",
  "federation_renewal_proofs",
  "federation_renewals",
  "federation_tasks"
] as const

/** Those of `schemaTables` that are not there. */
export const missingTables = Effect.gen(function* () {
  const sql = yield* SqlClient
  const rows = yield* rowsOf(
    "look for the tables",
    TableRow,
    sql`
      SELECT name FROM unnest(${schemaTables}::text[]) AS name
      WHERE to_regclass(name) IS NULL ORDER BY name`
  )
  return rows.map(({ name }) => name)
}).pipe(Effect.withSpan("DatabaseReport.missingTables"))

const ClockRow = Schema.Struct({ millis: Schema.Number })

/** The server's clock at the moment of the answer, in milliseconds since the epoch. */
export const serverClock = Effect.gen(function* () {
  const sql = yield* SqlClient
  const [row] = yield* rowsOf(
    "ask for the time",
    ClockRow,
    sql`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS millis`
  )
  return row?.millis ?? Number.NaN
}).pipe(Effect.withSpan("DatabaseReport.serverClock"))

const SizeRow = Schema.Struct({ database_bytes: Schema.Number, grants: Schema.Int, certificates: Schema.Int })

/** Bytes on the server's disk, and the rows that grow. */
export const storageSize = Effect.gen(function* () {
  const sql = yield* SqlClient
  const [row] = yield* rowsOf(
    "measure the database",
    SizeRow,
    sql`
      SELECT pg_database_size(current_database())::float8 AS database_bytes,
        (SELECT count(*) FROM federation_grants)::int AS grants,
        (SELECT count(*) FROM federation_certificates)::int AS certificates`
  )
  return {
    databaseBytes: row?.database_bytes ?? 0,
    grants: row?.grants ?? 0,
    certificates: row?.certificates ?? 0
  }
}).pipe(Effect.withSpan("DatabaseReport.storageSize"))
