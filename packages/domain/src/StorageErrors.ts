/** What goes wrong between the program and its records. */
import { DateTime, Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

const storage = { httpStatus: 503, exitCode: ExitCode.storage } as const

export class StorageUnavailable extends ErrorClass<StorageUnavailable>()(
  "StorageUnavailable",
  { operation: Schema.String, reason: Schema.String },
  {
    ...storage,
    code: "STORAGE_UNAVAILABLE",
    title: "The database cannot be reached",
    explanation: "No connection to PostgreSQL, or it was lost, or the login was refused.",
    retryable: true,
    message: ({ operation, reason }) => `${operation}: ${reason}`,
    remediation: () =>
      `see which database is used and where that is set (mosaic config show), and try it: psql "$DATABASE_URL" -c 'select 1'`
  }
) {}

export class StorageFailed extends ErrorClass<StorageFailed>()(
  "StorageFailed",
  { operation: Schema.String, reason: Schema.String },
  {
    ...storage,
    code: "STORAGE_FAILED",
    title: "The database refused an operation",
    explanation:
      "PostgreSQL answered with an error: a full disk, a missing right or a schema that was changed by hand.",
    httpStatus: 500,
    retryable: false,
    message: ({ operation, reason }) => `${operation}: ${reason}`,
    remediation: () =>
      `look at the database's log and free space (df -h); the embedded one logs to postgres.log under MOSAIC_HOME`
  }
) {}

export class StorageSchemaNewer extends ErrorClass<StorageSchemaNewer>()(
  "StorageSchemaNewer",
  { found: Schema.Int, known: Schema.Int },
  {
    ...storage,
    code: "STORAGE_SCHEMA_NEWER",
    title: "The database belongs to a newer version",
    explanation: "A later version has migrated this database. Migrations go forward only.",
    httpStatus: 500,
    retryable: false,
    message: ({ found, known }) => `the schema is at migration ${found}, this version knows up to ${known}`,
    remediation: () =>
      `use the newer version of mosaic, or point DATABASE_URL or MOSAIC_HOME at another database`
  }
) {}

export class StorageSchemaOlder extends ErrorClass<StorageSchemaOlder>()(
  "StorageSchemaOlder",
  { found: Schema.Int, known: Schema.Int },
  {
    ...storage,
    code: "STORAGE_SCHEMA_OLDER",
    title: "The database awaits its migration to this version",
    explanation:
      "In the federated tier replicas of the version before may be at work on the database, so it is migrated on demand alone: once, for all replicas.",
    httpStatus: 500,
    retryable: false,
    message: ({ found, known }) => `the schema is at migration ${found}, this version needs ${known}`,
    remediation: () =>
      `look at what is pending and apply it: mosaic db status, then mosaic db migrate; replicas of the version before are refused from then on`
  }
) {}

export class EmbeddedPostgresUnavailable extends ErrorClass<EmbeddedPostgresUnavailable>()(
  "EmbeddedPostgresUnavailable",
  { reason: Schema.String },
  {
    ...storage,
    code: "EMBEDDED_POSTGRES_UNAVAILABLE",
    title: "The embedded PostgreSQL cannot run here",
    explanation:
      "No binaries exist for this platform, or the program runs as root where neither a user namespace nor another uid can be used.",
    httpStatus: 500,
    retryable: false,
    message: ({ reason }) => reason,
    remediation: () =>
      `set DATABASE_URL to a PostgreSQL 17, run as an ordinary user, or set MOSAIC_HOME to a directory that such a user reaches`
  }
) {}

export class EmbeddedPostgresFailed extends ErrorClass<EmbeddedPostgresFailed>()(
  "EmbeddedPostgresFailed",
  { reason: Schema.String, log: Schema.String },
  {
    ...storage,
    code: "EMBEDDED_POSTGRES_FAILED",
    title: "The embedded PostgreSQL did not start",
    explanation:
      "initdb or postgres ended with an error; its log says why. Often the disk is full or the directory is not writable.",
    httpStatus: 500,
    retryable: false,
    message: ({ reason }) => reason,
    remediation: ({ log }) =>
      `read ${log}, free disk space (df -h), or set MOSAIC_HOME to another directory or DATABASE_URL to another PostgreSQL`
  }
) {}

const auditRemediation =
  "keep the database as it is and find who could write to it; mosaic audit export shows what it says now, a backup what it said: docs/federation/audit.md"

export class AuditChainBroken extends ErrorClass<AuditChainBroken>()(
  "AuditChainBroken",
  { height: Schema.Int, problem: Schema.String, breaks: Schema.Int },
  {
    ...storage,
    code: "AUDIT_CHAIN_BROKEN",
    title: "The audit record was tampered with",
    explanation:
      "An entry was changed, removed, inserted or moved after it was sealed, or the chain differs from what was signed of it. The height says where the first break is.",
    httpStatus: 500,
    retryable: false,
    message: ({ breaks, height, problem }) =>
      `at height ${height}: ${problem}${breaks > 1 ? `; ${breaks} breaks in all` : ""}`,
    remediation: () => auditRemediation
  }
) {}

export class AuditTailMissing extends ErrorClass<AuditTailMissing>()(
  "AuditTailMissing",
  { height: Schema.Int, signedHeight: Schema.Int, signedAt: Schema.String },
  {
    ...storage,
    code: "AUDIT_TAIL_MISSING",
    title: "The end of the audit record was cut off",
    explanation:
      "A signed head says that the chain was longer once. Entries were removed from its end, or an older backup was restored.",
    httpStatus: 500,
    retryable: false,
    message: ({ height, signedAt, signedHeight }) =>
      `the chain ends at height ${height}, and a head signed at ${signedAt} has height ${signedHeight}`,
    remediation: () => auditRemediation
  }
) {}

export class AuditSignatureInvalid extends ErrorClass<AuditSignatureInvalid>()(
  "AuditSignatureInvalid",
  { what: Schema.String, problem: Schema.String },
  {
    ...storage,
    code: "AUDIT_SIGNATURE_INVALID",
    title: "A head or checkpoint of the audit record has no good signature",
    explanation:
      "A signed head or a checkpoint was altered, or it was signed by a key that is not trusted here: another gateway's, or one from before the key was changed.",
    httpStatus: 500,
    retryable: false,
    message: ({ problem, what }) => `${what}: ${problem}`,
    remediation: () =>
      "use the key that signed it (MOSAIC_AUDIT_KEY_FILE), or name it in MOSAIC_AUDIT_TRUST if you know it: docs/federation/audit.md"
  }
) {}

export class AuditUnprotected extends ErrorClass<AuditUnprotected>()(
  "AuditUnprotected",
  { login: Schema.String, problem: Schema.String },
  {
    code: "AUDIT_UNPROTECTED",
    title: "The server's login could change the audit record",
    explanation:
      "In the federated tier the server logs in as mosaic_app, who may add to the audit record and read it, and nothing else. An owner or a superuser is for migrations alone.",
    httpStatus: 500,
    exitCode: ExitCode.configuration,
    retryable: false,
    message: ({ login, problem }) => `the login ${login} ${problem}`,
    remediation: ({ login }) =>
      login === "mosaic_app"
        ? "take that from it as the owner of the tables (REVOKE ... FROM mosaic_app, or ALTER ... OWNER TO the owner), then run mosaic db migrate: docs/federation/audit.md"
        : "set MOSAIC_DATABASE_OWNER_URL to this login, run mosaic db migrate --app-password-file FILE, and put mosaic_app with that password in DATABASE_URL: docs/federation/audit.md"
  }
) {}

export class StorageRightMissing extends ErrorClass<StorageRightMissing>()(
  "StorageRightMissing",
  { login: Schema.String, right: Schema.String },
  {
    code: "STORAGE_RIGHT_MISSING",
    title: "The database login may not do this",
    explanation:
      "Pruning deletes audit records and certificates, which the server's login mosaic_app may not. The owner of the tables does it.",
    httpStatus: 500,
    exitCode: ExitCode.configuration,
    retryable: false,
    message: ({ login, right }) => `the login ${login} has no right to ${right}`,
    remediation: () =>
      "set MOSAIC_DATABASE_OWNER_URL (or _FILE) to the login that mosaic db migrate uses: docs/federation/audit.md"
  }
) {}

export class PruneUnderWay extends ErrorClass<PruneUnderWay>()(
  "PruneUnderWay",
  { since: Schema.NullOr(Schema.DateTimeUtcFromString) },
  {
    ...storage,
    code: "PRUNE_UNDER_WAY",
    title: "Another process prunes this database",
    explanation: "One process at a time prunes. Nothing was deleted by this one.",
    httpStatus: 409,
    retryable: true,
    message: ({ since }) =>
      since === null
        ? "another process had the lock at that moment"
        : `another process has been at it since ${DateTime.formatIso(since)}`,
    remediation: () =>
      "wait for it; where it hangs, see which session has the lock: SELECT * FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory'"
  }
) {}

export const StorageError = Schema.Union([
  StorageUnavailable,
  StorageFailed,
  StorageSchemaNewer,
  StorageSchemaOlder,
  EmbeddedPostgresUnavailable,
  EmbeddedPostgresFailed
])

export type StorageError = typeof StorageError.Type
