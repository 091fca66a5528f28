/**
 * The role `mosaic_app`, by which the server of the federated tier logs in: it works with the records and can add to the
 * audit record, but neither change nor remove what is on it. The owner makes it, with the migrations
 * (docs/decisions/0009).
 */
import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto"
import { promisify } from "node:util"
import { AuditUnprotected } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { rowsOf } from "./internal/rowsOf.ts"
import { storageError } from "./internal/storageError.ts"

export const appRole = "mosaic_app"

/** "role" in ASCII: the key of the advisory lock under which one process gives rights. */
const lockKey = 0x726f_6c65

const RoleRow = Schema.Struct({ exists: Schema.Boolean, may_create: Schema.Boolean })

/** Roles are of the whole cluster: another database's migration may be at it as well. */
const createRole = (sql: SqlClient) => sql`
  DO $$ BEGIN
    CREATE ROLE mosaic_app NOLOGIN NOINHERIT;
  EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
  END $$`

/** A table that a later version adds is worked with like the tasks, unless it is named here. */
const grantRights = (sql: SqlClient) => sql`
  DO $$
  DECLARE
    found record;
  BEGIN
    IF NOT has_schema_privilege('mosaic_app', current_schema(), 'USAGE') THEN
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO mosaic_app', current_schema());
    END IF;
    FOR found IN
      SELECT c.oid::regclass AS name, CASE
        WHEN c.relname IN ('federation_migrations', 'federation_audit_checkpoints') THEN 'SELECT'
        WHEN c.relname LIKE 'federation\\_audit%' THEN 'SELECT, INSERT'
        WHEN c.relname = 'federation_renewals' THEN 'SELECT, INSERT'
        WHEN c.relname IN (
          'federation_grants', 'federation_certificates', 'federation_enrollment_tokens', 'federation_api_keys'
        ) THEN 'SELECT, INSERT, UPDATE'
        ELSE 'SELECT, INSERT, UPDATE, DELETE'
      END AS rights
      FROM pg_class c
      WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
        AND c.relname LIKE 'federation\\_%'
    LOOP
      EXECUTE format('REVOKE ALL ON %s FROM mosaic_app, PUBLIC', found.name);
      EXECUTE format('GRANT %s ON %s TO mosaic_app', found.rights, found.name);
    END LOOP;
  END $$`

/**
 * Makes the role where it is missing, and gives it its rights. False where it is missing and this login may not make it:
 * a database of one machine needs none.
 */
export const ensureAppRole = Effect.fn("AppRole.ensureAppRole")(function* () {
  const operation = `give ${appRole} its rights`
  const sql = yield* SqlClient
  const [role] = yield* rowsOf(
    operation,
    RoleRow,
    sql`
      SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = ${appRole}) AS exists,
        (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) AS may_create`
  )
  if (role?.exists !== true && role?.may_create !== true) return false
  const give = Effect.gen(function* () {
    // Two that grant at once would fail by each other's catalogue rows.
    yield* sql`SELECT pg_advisory_xact_lock(${lockKey}::bigint)`
    if (!role.exists) yield* createRole(sql)
    yield* grantRights(sql)
  })
  yield* Effect.mapError(sql.withTransaction(give), storageError(operation))
  return true
})

const iterations = 4096

/** RFC 5803 as PostgreSQL keeps it: the server, and its log, never see the password. */
const scramVerifier = async (password: Redacted.Redacted): Promise<string> => {
  const salt = randomBytes(16)
  const salted = await promisify(pbkdf2)(Redacted.value(password), salt, iterations, 32, "sha256")
  const hmac = (text: string) => createHmac("sha256", salted).update(text).digest()
  const stored = createHash("sha256").update(hmac("Client Key")).digest("base64")
  const server = hmac("Server Key").toString("base64")
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${stored}:${server}`
}

/** Lets the role log in with this password, which is of visible ASCII. */
export const setAppPassword = Effect.fn("AppRole.setAppPassword")(function* (password: Redacted.Redacted) {
  const sql = yield* SqlClient
  const verifier = yield* Effect.promise(() => scramVerifier(password))
  // Base64, digits, $ and : alone, so that it may stand in the statement, which takes no parameter.
  yield* Effect.mapError(
    sql`ALTER ROLE mosaic_app LOGIN PASSWORD '${sql.literal(verifier)}'`,
    storageError(`give ${appRole} a password`)
  )
})

const LoginRow = Schema.Struct({
  login: Schema.String,
  superuser: Schema.Boolean,
  owner: Schema.NullOr(Schema.String),
  right: Schema.NullOr(Schema.String)
})

/** Fails where the login of this connection could change what is on the audit record. */
export const requireProtectedAudit = Effect.fn("AppRole.requireProtectedAudit")(function* () {
  const sql = yield* SqlClient
  const [row] = yield* rowsOf(
    "look at the rights on the audit record",
    LoginRow,
    sql`
      WITH audit AS (
        SELECT c.oid, c.relname, c.relowner FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
          AND c.relname IN (
            'federation_audit', 'federation_audit_chain', 'federation_audit_heads', 'federation_audit_checkpoints'
          )
      )
      SELECT current_user::text AS login,
        (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
        (SELECT relname::text FROM audit WHERE pg_has_role(current_user, relowner, 'MEMBER')
          ORDER BY relname LIMIT 1) AS owner,
        (SELECT p || ' on ' || relname FROM audit,
          unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'INSERT']) WITH ORDINALITY AS rights (p, n)
          WHERE (p <> 'INSERT' OR relname = 'federation_audit_checkpoints')
            AND (has_table_privilege(oid, p) OR (p = 'UPDATE' AND has_any_column_privilege(oid, p)))
          ORDER BY relname, n LIMIT 1) AS right`
  )
  const problem =
    row === undefined
      ? "is unknown"
      : row.superuser
        ? "is a superuser"
        : row.owner !== null
          ? `owns ${row.owner}`
          : row.right !== null
            ? `has the right to ${row.right}`
            : undefined
  if (problem !== undefined) return yield* new AuditUnprotected({ login: row?.login ?? "", problem })
})
