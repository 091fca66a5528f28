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
  /** The first role that it is or may become, by which the record could be changed, and what that role can do. */
  role: Schema.NullOr(Schema.String),
  problem: Schema.NullOr(Schema.String)
})

/**
 * Fails where the login of this connection could change what is on the audit record, by its own rights or as any role
 * that it is a member of: SET ROLE gives those rights to one who does not inherit them, and whoever owns the schema or
 * the database can drop the tables in it.
 */
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
      ), reached AS (
        SELECT r.oid, r.rolname, r.rolname = current_user AS itself FROM pg_roles r
        WHERE pg_has_role(current_user, r.oid, 'MEMBER')
      ), found AS (
        SELECT itself, rolname, 1 AS n, 'owns ' || relname AS problem
        FROM reached JOIN audit ON relowner = reached.oid
        UNION ALL
        SELECT itself, rolname, 2, 'owns the schema ' || nspname
        FROM reached JOIN pg_namespace n ON nspowner = reached.oid
        WHERE n.oid = current_schema()::regnamespace
        UNION ALL
        SELECT itself, rolname, 3, 'owns the database ' || datname
        FROM reached JOIN pg_database ON datdba = reached.oid
        WHERE datname = current_database()
        UNION ALL
        SELECT itself, rolname, 3 + p.n, 'has the right to ' || p.name || ' on ' || relname
        FROM reached, audit,
          unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'INSERT']) WITH ORDINALITY AS p (name, n)
        WHERE (p.name <> 'INSERT' OR relname = 'federation_audit_checkpoints')
          AND (
            has_table_privilege(reached.oid, audit.oid, p.name)
            OR (p.name IN ('UPDATE', 'INSERT') AND has_any_column_privilege(reached.oid, audit.oid, p.name))
          )
      )
      SELECT current_user::text AS login, rolsuper AS superuser, rolname::text AS role, problem
      FROM (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) login
        LEFT JOIN (
          SELECT rolname, problem FROM found ORDER BY itself DESC, rolname, n, problem LIMIT 1
        ) first ON TRUE`
  )
  const problem =
    row === undefined
      ? "is unknown"
      : row.superuser
        ? "is a superuser"
        : row.problem === null
          ? undefined
          : row.role === row.login
            ? row.problem
            : `may become ${row.role}, who ${row.problem}`
  if (problem !== undefined) return yield* new AuditUnprotected({ login: row?.login ?? "", problem })
})
