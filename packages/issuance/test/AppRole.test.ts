/** The server's login of the federated tier: it does all of the server's work, and cannot change what is on the audit record. */
import { randomBytes, randomUUID } from "node:crypto"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { DateTime, Duration, Effect, Layer, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { ApiKeyRepo } from "../src/ApiKeyRepo.ts"
import { ApiKeyId } from "@mosaic-federation/domain/ApiKey"
import { appRole, ensureAppRole, requireProtectedAudit, setAppPassword } from "../src/AppRole.ts"
import { AuditRepo } from "../src/AuditRepo.ts"
import { EmbeddedPostgres } from "../src/EmbeddedPostgres.ts"
import { GrantChanges } from "../src/GrantChanges.ts"
import { GrantRepo } from "../src/GrantRepo.ts"
import { codeOf } from "../src/internal/storageError.ts"
import { migrate, requireMigrated } from "../src/Migrations.ts"
import { randomSerial } from "../src/randomSerial.ts"
import { TaskRepo, WorkerId } from "../src/TaskRepo.ts"

const ServerLayer = Layer.unwrap(
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-role-"))),
      removeDirectory
    ),
    EmbeddedPostgres.layerAt
  )
)

const password = Redacted.make(randomBytes(24).toString("base64url"))

/** The owner's and the server's connection to one fresh, migrated database. */
const database = Effect.gen(function* () {
  const { connection } = yield* EmbeddedPostgres
  const name = `test_${randomUUID().replaceAll("-", "")}`
  yield* SqlClient.use((sql) => sql`CREATE DATABASE ${sql(name)}`).pipe(
    Effect.provide(PgClient.layer(connection))
  )
  const owner = PgClient.layer({ ...connection, database: name })
  yield* Effect.provide(Effect.andThen(migrate(), setAppPassword(password)), owner)
  return { name, owner, app: PgClient.layer({ ...connection, database: name, username: appRole, password }) }
})

const auditTables = [
  "federation_audit",
  "federation_audit_chain",
  "federation_audit_heads",
  "federation_audit_checkpoints"
]

layer(ServerLayer, { timeout: "60 seconds", excludeTestServices: true })("mosaic_app", (it) => {
  it.effect("may neither change nor remove what is on the audit record", () =>
    Effect.gen(function* () {
      const { app } = yield* database
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        const denied = Effect.fnUntraced(function* (statement: string) {
          const error = yield* Effect.flip(sql`${sql.literal(statement)}`)
          assert.strictEqual(codeOf(error), "42501", statement)
        })
        for (const table of auditTables) {
          const column = table === "federation_audit" ? "request_id" : "hash"
          yield* denied(`UPDATE ${table} SET ${column} = ''`)
          yield* denied(`DELETE FROM ${table}`)
          yield* denied(`TRUNCATE ${table}`)
          yield* denied(`DROP TABLE ${table}`)
          yield* denied(`ALTER TABLE ${table} DISABLE TRIGGER ALL`)
        }
        yield* denied(
          "INSERT INTO federation_audit_checkpoints VALUES (1, repeat('a', 64), now(), 'key', 'signature')"
        )
        yield* denied("DELETE FROM federation_grants")
        yield* denied("DELETE FROM federation_certificates")
        yield* denied("UPDATE federation_migrations SET name = ''")
        yield* denied("CREATE TABLE federation_more (id integer)")
        yield* requireProtectedAudit()
      }).pipe(Effect.provide(app))
    })
  )

  it.effect("does the server's work", () =>
    Effect.gen(function* () {
      const { app } = yield* database
      const repositories = Layer.mergeAll(
        GrantRepo.layerNoDeps,
        GrantChanges.layerNoDeps,
        TaskRepo.layerNoDeps,
        ApiKeyRepo.layerNoDeps,
        AuditRepo.layerNoDeps
      ).pipe(Layer.provideMerge(app))
      yield* Effect.gen(function* () {
        yield* requireMigrated()
        const grants = yield* GrantRepo
        const tasks = yield* TaskRepo
        const keys = yield* ApiKeyRepo
        const audit = yield* AuditRepo
        const changes = yield* GrantChanges
        const now = yield* DateTime.now
        const grant = yield* grants.create(
          new NewGrant({
            subjectUserId: UserId.make(randomUUID()),
            peer: PeerName.make("peer.example"),
            scopes: [],
            expiresAt: DateTime.add(now, { hours: 1 })
          })
        )
        yield* changes.suspend(grant.id)
        yield* changes.resume(grant.id)
        const serial = randomSerial()
        yield* grants.recordIntent({
          serial,
          grantId: grant.id,
          subjectUserId: grant.subjectUserId,
          csrSha256: "ab".repeat(32),
          jti: randomUUID(),
          requester: "cli",
          requestId: "req-1",
          requestedAt: now,
          notAfter: DateTime.add(now, { minutes: 10 })
        })
        yield* grants.recordOutcome({
          serial,
          state: "ambiguous",
          errorCode: "CA_TIMEOUT",
          revokedAtCa: false
        })
        yield* grants.revoke(grant.id, "over")
        yield* tasks.ensureSweep
        const worker = WorkerId.make(randomUUID())
        for (const task of yield* tasks.claimDue(worker, Duration.minutes(1), 10)) {
          yield* task.kind === "revoke-at-ca" ? tasks.revokedAtCa(task) : tasks.sweep(task, Duration.hours(1))
        }
        const id = ApiKeyId.make(randomBytes(8).toString("hex"))
        const keySha256 = randomBytes(32).toString("hex")
        yield* keys.create({ id, name: "alice", scope: "read", keySha256, createdAt: now, expiresAt: null })
        assert.isTrue(Option.isSome(yield* keys.find(id)))
        while ((yield* audit.seal).sealed > 0) yield* Effect.yieldNow
        const { head, unsealed } = yield* audit.state
        assert.deepStrictEqual([head.height, unsealed], [8, 0])
      }).pipe(Effect.provide(repositories))
    })
  )

  it.effect("is what the server wants: no owner, no superuser, nobody with more rights", () =>
    Effect.gen(function* () {
      const { app, name, owner } = yield* database
      const refusal = Effect.flip(requireProtectedAudit())
      const superuser = yield* Effect.provide(refusal, owner)
      assert.deepInclude(
        { code: superuser.code, message: superuser.message, remediation: superuser.remediation },
        {
          code: "AUDIT_UNPROTECTED",
          message: "the login mosaic is a superuser",
          remediation:
            "set MOSAIC_DATABASE_OWNER_URL to this login, run mosaic db migrate --app-password-file FILE, and put mosaic_app with that password in DATABASE_URL: docs/federation/audit.md"
        }
      )
      /** Statements with semicolons between them. */
      const because = Effect.fnUntraced(function* (statements: string, undo: string) {
        const run = (texts: string) =>
          Effect.provide(
            SqlClient.use((sql) => Effect.forEach(texts.split(";"), (text) => sql`${sql.literal(text)}`)),
            owner
          )
        yield* run(statements)
        const { code, message, remediation } = yield* Effect.provide(refusal, app)
        yield* run(undo)
        assert.strictEqual(code, "AUDIT_UNPROTECTED")
        assert.match(remediation, /^take that from it as the owner of the tables \(REVOKE /)
        return message
      })
      assert.strictEqual(
        yield* because(
          "GRANT UPDATE (detail) ON federation_audit TO mosaic_app",
          "REVOKE UPDATE (detail) ON federation_audit FROM mosaic_app"
        ),
        "the login mosaic_app has the right to UPDATE on federation_audit"
      )
      assert.strictEqual(
        yield* because(
          "GRANT TRUNCATE ON federation_audit_chain TO PUBLIC",
          "REVOKE TRUNCATE ON federation_audit_chain FROM PUBLIC"
        ),
        "the login mosaic_app has the right to TRUNCATE on federation_audit_chain"
      )
      assert.strictEqual(
        yield* because(
          "ALTER TABLE federation_audit_heads OWNER TO mosaic_app",
          "ALTER TABLE federation_audit_heads OWNER TO mosaic"
        ),
        "the login mosaic_app owns federation_audit_heads"
      )
      assert.strictEqual(
        yield* because(
          "GRANT INSERT (height) ON federation_audit_checkpoints TO mosaic_app",
          "REVOKE INSERT (height) ON federation_audit_checkpoints FROM mosaic_app"
        ),
        "the login mosaic_app has the right to INSERT on federation_audit_checkpoints"
      )
      // Roles are of the whole cluster, which the tests of this file share.
      const helper = `helper_${name}`
      const helped = `helped_${name}`
      const drop = `DROP OWNED BY ${helper}; DROP ROLE ${helper}`
      for (const [right, problem] of [
        ["UPDATE ON federation_audit", "has the right to UPDATE on federation_audit"],
        ["UPDATE (detail) ON federation_audit", "has the right to UPDATE on federation_audit"],
        ["TRIGGER ON federation_audit_chain", "has the right to TRIGGER on federation_audit_chain"]
      ] as const) {
        assert.strictEqual(
          yield* because(
            `CREATE ROLE ${helper}; GRANT ${right} TO ${helper}; GRANT ${helper} TO mosaic_app`,
            drop
          ),
          `the login mosaic_app may become ${helper}, who ${problem}`
        )
      }
      assert.strictEqual(
        yield* because(
          `CREATE ROLE ${helper}; CREATE ROLE ${helped}; GRANT DELETE ON federation_audit_heads TO ${helper};
            GRANT ${helper} TO ${helped}; GRANT ${helped} TO mosaic_app`,
          `${drop}; DROP ROLE ${helped}`
        ),
        `the login mosaic_app may become ${helped}, who has the right to DELETE on federation_audit_heads`
      )
      assert.strictEqual(
        yield* because(
          `CREATE ROLE ${helper}; ALTER TABLE federation_audit OWNER TO ${helper}; GRANT ${helper} TO mosaic_app`,
          `ALTER TABLE federation_audit OWNER TO mosaic; ${drop}`
        ),
        `the login mosaic_app may become ${helper}, who owns federation_audit`
      )
      assert.strictEqual(
        yield* because("GRANT pg_write_all_data TO mosaic_app", "REVOKE pg_write_all_data FROM mosaic_app"),
        "the login mosaic_app may become pg_write_all_data, who has the right to UPDATE on federation_audit"
      )
      assert.strictEqual(
        yield* because(`CREATE ROLE ${helper} SUPERUSER; GRANT ${helper} TO mosaic_app`, drop),
        `the login mosaic_app may become ${helper}, who has the right to UPDATE on federation_audit`
      )
      assert.strictEqual(
        yield* because(
          "ALTER SCHEMA public OWNER TO mosaic_app",
          "ALTER SCHEMA public OWNER TO pg_database_owner; GRANT USAGE ON SCHEMA public TO mosaic_app"
        ),
        "the login mosaic_app owns the schema public"
      )
      assert.strictEqual(
        yield* because(
          `ALTER DATABASE ${name} OWNER TO mosaic_app`,
          `ALTER DATABASE ${name} OWNER TO mosaic; GRANT USAGE ON SCHEMA public TO mosaic_app`
        ),
        `the login mosaic_app owns the database ${name}`
      )
      // What was granted by hand is taken back by the next migration, and that by any number at once.
      yield* Effect.provide(
        SqlClient.use((sql) => sql`GRANT ALL ON federation_audit TO mosaic_app`),
        owner
      )
      assert.isTrue(yield* Effect.provide(ensureAppRole(), owner))
      yield* Effect.provide(requireProtectedAudit(), app)
    })
  )

  it.effect("an owner who may not create roles migrates all the same", () =>
    Effect.gen(function* () {
      const { connection } = yield* EmbeddedPostgres
      const name = `plain_${randomUUID().replaceAll("-", "")}`
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        yield* sql`CREATE ROLE ${sql(name)} LOGIN PASSWORD 'plain-password-1'`
        yield* sql`CREATE DATABASE ${sql(name)} OWNER ${sql(name)}`
      }).pipe(Effect.provide(PgClient.layer(connection)))
      const plain = PgClient.layer({
        ...connection,
        database: name,
        username: name,
        password: Redacted.make("plain-password-1")
      })
      yield* Effect.gen(function* () {
        yield* migrate()
        // Other databases of this cluster have made the role, so its rights are all that is left to give.
        assert.isTrue(yield* ensureAppRole())
        assert.strictEqual(
          (yield* Effect.flip(requireProtectedAudit())).message,
          `the login ${name} owns federation_audit`
        )
      }).pipe(Effect.provide(plain))
    })
  )
})
