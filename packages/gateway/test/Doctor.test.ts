/**
 * The doctor before PostgreSQL 17, Valkey 8 and step-ca: all is well, and each of them stopped, corrupted or misconfigured
 * in turn is found by its own check alone. Where a remedy can be carried out here, it is, and all is well again.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import type { DoctorReport } from "@mosaic-federation/domain/DoctorReport"
import { latestMigration } from "@mosaic-federation/issuance/Migrations"
import { federated } from "@mosaic-federation/testing/federated"
import { makeTcpServer } from "@mosaic-federation/testing/HostileServer"
import { compactJwe, makeProvisionerKey } from "@mosaic-federation/testing/ProvisionerKeys"
import { type CaConfig, StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { expired, makeRoot, type Validity } from "@mosaic-federation/testing/TestPki"
import { Duration, Effect, Redacted } from "effect"
import { caProxy } from "./support/caProxy.ts"
import {
  assertAllWell,
  assertAlone,
  assertWarns,
  bootCa,
  DoctorStage,
  type Environment,
  idsOf,
  look,
  runBesidePostgres
} from "./support/doctorStage.ts"
import { shiftedBy } from "./support/shiftedClock.ts"

type ConfigurationError = Effect.Error<ReturnType<typeof look>>

/** As the original specification has it. */
const plainTemplate = `{
  "subject": {"commonName": {{ toJson .Token.sub }}},
  "extensions": [
    {"id": "1.3.6.1.4.1.99999.1", "value": {{ printf "\\x0c\\x24%s" .Token.mosaic_grant_id | b64enc | toJson }}},
    {"id": "1.3.6.1.4.1.99999.2", "value": {{ printf "\\x0c\\x24%s" .Token.mosaic_subject_user_id | b64enc | toJson }}}
  ],
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"]
}`

const ofDatabase = ["pgvector", "schema", "queue", "storage"]
/** What needs an answer of the CA. */
const ofCa = [
  "intermediate",
  "provisioner",
  "key",
  "renewal",
  "durations",
  "guards",
  "symmetric-key",
  "encrypted-key"
]

/** A URL with another password. */
const withPassword = (url: string | undefined, password: string) => {
  const changed = new URL(url ?? "")
  changed.password = password
  return changed.href
}

const withPort = (url: string | undefined, port: number) => {
  const changed = new URL(url ?? "")
  changed.port = String(port)
  return changed.href
}

/** Patient by itself, so that the doctor's own time counts. */
const patient = (url: string) => `${url}?connect_timeout=600`

interface Provisioner extends Readonly<Record<string, unknown>> {
  readonly name: string
}

/** A change of one provisioner in ca.json. */
const ofProvisioner =
  (name: string, change: (provisioner: Provisioner) => object) =>
  (config: CaConfig): CaConfig => {
    const authority = config["authority"] as { readonly provisioners: ReadonlyArray<Provisioner> }
    return {
      ...config,
      authority: {
        ...authority,
        provisioners: authority.provisioners.map((one) => (one.name === name ? change(one) : one))
      }
    }
  }

const checkOf = (report: DoctorReport, id: string) => {
  const found = report.checks.find((check) => check.id === id)
  return found ?? assert.fail(`there is no check ${id}`)
}

/** As far from the other's clock as it was set, to within what the report itself does not know. */
const assertSkew = (report: DoctorReport, peer: string, millis: number) => {
  const { evidence } = checkOf(report, "clock")
  const uncertainty = Number(evidence[`${peer}UncertaintyMillis`])
  assert.isAtMost(Math.abs(Number(evidence[`${peer}SkewMillis`]) - millis), uncertainty + 50, peer)
}

const lasting = (days: number): Validity => ({
  notBefore: new Date(Date.now() - 3_600_000),
  notAfter: new Date(Date.now() + days * 86_400_000)
})

const writeIn = Effect.fnUntraced(function* (name: string, text: string) {
  const { directory } = yield* DoctorStage
  const path = join(directory, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
})

federated(
  "Doctor",
  () => {
    layer(DoctorStage.layer, { timeout: "120 seconds", excludeTestServices: true })((it) => {
      it.effect("an empty database is given its schema, as by the first start of a gateway", () =>
        Effect.gen(function* () {
          assertAllWell(yield* look())
        })
      )

      it.effect("all is well, in the order and with the evidence that people read", () =>
        Effect.gen(function* () {
          const { ca, postgres, valkey } = yield* DoctorStage
          const report = yield* look({ deep: true })
          assertAllWell(report)
          assert.deepStrictEqual(
            report.checks.map(({ id }) => id),
            [
              "postgres",
              "valkey",
              "pgvector",
              "schema",
              "settings",
              "root",
              "ca",
              "intermediate",
              "provisioner",
              "password",
              "key",
              "renewal",
              "durations",
              "guards",
              "symmetric-key",
              "encrypted-key",
              "root-key",
              "clock",
              "queue",
              "storage",
              "loop"
            ]
          )
          assert.strictEqual(checkOf(report, "postgres").detail, `127.0.0.1:${postgres.port}`)
          assert.strictEqual(checkOf(report, "valkey").detail, `127.0.0.1:${valkey.port}`)
          assert.strictEqual(checkOf(report, "ca").detail, `127.0.0.1:${ca.port}`)
          assert.strictEqual(checkOf(report, "schema").detail, String(latestMigration))
          assert.match(
            checkOf(report, "clock").detail ?? "",
            /^step-ca [+-][\d.]+s ±[\d.]+s, postgres [+-][\d.]+s ±[\d.]+s, valkey [+-][\d.]+s ±[\d.]+s \(leeway 60s\)$/
          )
          assert.match(
            checkOf(report, "loop").detail ?? "",
            /^grant \d+ms, issue \d+ms, verify \d+ms, revoke \d+ms, refused \d+ms, clean up \d+ms$/
          )
          for (const { latencyMillis } of report.checks) assert.isAtLeast(latencyMillis ?? -1, 0)
          const text = JSON.stringify(report)
          for (const secret of [postgres.password, valkey.password])
            assert.notInclude(text, Redacted.value(secret))
          assert.notInclude(text, readFileSync(ca.provisioner.passwordPath, "utf8").trim())
          assert.notInclude(text, "BEGIN CERTIFICATE")
        })
      )

      it.effect("the closed loop leaves nothing on record, and its certificate revoked", () =>
        Effect.gen(function* () {
          const { postgres } = yield* DoctorStage
          const rows = postgres.exec(
            "select (select count(*) from federation_grants) + (select count(*) from federation_certificates) + (select count(*) from federation_tasks)"
          )
          const before = yield* rows
          assertAllWell(yield* look({ deep: true }))
          assert.strictEqual(yield* rows, before)
        })
      )

      /** Settings alone that are wrong, and are put right by putting them right. */
      const misconfigured: ReadonlyArray<{
        readonly name: string
        readonly environment: Effect.Effect<Environment, ConfigurationError, DoctorStage>
        readonly failed: string
        readonly code: string
        readonly skipped: ReadonlyArray<string>
        readonly command: RegExp
      }> = [
        {
          name: "PostgreSQL's password",
          environment: DoctorStage.use(({ environment }) =>
            Effect.succeed({ DATABASE_URL: withPassword(environment["DATABASE_URL"], "wrong") })
          ),
          failed: "postgres",
          code: "STORAGE_UNAVAILABLE",
          skipped: ofDatabase,
          command: /^mosaic config show$/
        },
        {
          name: "Valkey's password",
          environment: DoctorStage.use(({ environment }) =>
            Effect.succeed({ REDIS_URL: withPassword(environment["REDIS_URL"], "wrong") })
          ),
          failed: "valkey",
          code: "VALKEY_UNAVAILABLE",
          skipped: [],
          command: /^mosaic config show$/
        },
        {
          name: "another CA's root",
          environment: Effect.gen(function* () {
            const { pem } = yield* makeRoot("Another Root", lasting(365))
            return { STEP_CA_ROOT_CERT_PATH: yield* writeIn("another.crt", pem) }
          }),
          failed: "ca",
          code: "CA_ISSUER_UNKNOWN",
          skipped: ofCa,
          command: /^step certificate fingerprint \S+another\.crt$/
        },
        {
          name: "a root that has expired",
          environment: Effect.gen(function* () {
            const { pem } = yield* makeRoot("Old Root", expired())
            return { STEP_CA_ROOT_CERT_PATH: yield* writeIn("expired.crt", pem) }
          }),
          failed: "root",
          code: "ROOT_CERTIFICATE_EXPIRED",
          skipped: ["ca", ...ofCa],
          command: /^step certificate inspect .*expired\.crt$/
        },
        {
          name: "the provisioner's password",
          environment: Effect.succeed({
            STEP_CA_PROVISIONER_PASSWORD_FILE: undefined,
            STEP_CA_PROVISIONER_PASSWORD: "wrong"
          }),
          failed: "password",
          code: "PROVISIONER_KEY_WRONG_PASSWORD",
          skipped: ["key", "guards"],
          command: /^step crypto jwe decrypt /
        },
        {
          name: "the name of the provisioner",
          environment: Effect.succeed({ STEP_CA_PROVISIONER: "nobody" }),
          failed: "provisioner",
          code: "CA_PROVISIONER_UNKNOWN",
          skipped: ["key", "renewal", "durations", "guards"],
          command: /^step ca provisioner list /
        },
        {
          name: "a key that the CA does not know",
          environment: Effect.gen(function* () {
            const jwk = yield* Effect.promise(() => makeProvisionerKey("ES256"))
            const jwe = yield* Effect.promise(() => compactJwe(jwk, "unlocked"))
            return {
              STEP_CA_PROVISIONER_KEY_JSON_FILE: yield* writeIn("another.jwe", jwe),
              STEP_CA_PROVISIONER_PASSWORD_FILE: yield* writeIn("another.password", "unlocked")
            }
          }),
          failed: "provisioner",
          code: "CA_KEY_UNKNOWN",
          skipped: ["key", "renewal", "durations", "guards"],
          command: /^step ca provisioner list /
        },
        {
          name: "a key that only claims the CA's key id",
          environment: Effect.gen(function* () {
            const report = yield* look()
            const kid = String(checkOf(report, "password").evidence["kid"])
            const jwk = yield* Effect.promise(() => makeProvisionerKey("ES256"))
            return {
              STEP_CA_PROVISIONER_KEY_JSON_FILE: yield* writeIn(
                "forged.json",
                JSON.stringify({ ...jwk, kid })
              ),
              STEP_CA_PROVISIONER_KID: kid
            }
          }),
          failed: "key",
          code: "CA_KEY_MISMATCH",
          skipped: ["guards"],
          command: /^step ca provisioner list /
        },
        {
          name: "longer certificates than the CA's",
          environment: Effect.succeed({ MOSAIC_CERT_MAX: "48h" }),
          failed: "durations",
          code: "DURATIONS_DIFFER",
          skipped: [],
          command: /^MOSAIC_CERT_MIN=5m MOSAIC_CERT_DEFAULT=24h MOSAIC_CERT_MAX=48h docker compose /
        },
        {
          name: "settings that are missing",
          environment: Effect.succeed({ STEP_CA_URL: "", STEP_CA_ROOT_CERT_PATH: "" }),
          failed: "settings",
          code: "CONFIG_MISSING",
          skipped: ["root", "ca", ...ofCa, "password", "root-key"],
          command: /^mosaic config show$/
        }
      ]

      for (const { code, command, environment, failed, name, skipped } of misconfigured) {
        it.effect(`misconfigured: ${name}`, () =>
          Effect.gen(function* () {
            const report = yield* look({ environment: yield* environment })
            const found = assertAlone(report, failed, code, skipped)
            assert.match(found.command, command)
          })
        )
      }

      /** Something that is broken, and how its remedy puts it right. */
      const broken: ReadonlyArray<{
        readonly name: string
        readonly break: Effect.Effect<unknown, unknown, DoctorStage>
        readonly failed: string
        readonly code: string
        readonly skipped: ReadonlyArray<string>
        readonly remedy: (command: string) => Effect.Effect<unknown, unknown, DoctorStage>
        readonly command: RegExp
        readonly deep?: boolean
      }> = [
        {
          name: "PostgreSQL is stopped",
          break: DoctorStage.use(({ postgres }) => postgres.stop),
          failed: "postgres",
          code: "STORAGE_UNAVAILABLE",
          skipped: ofDatabase,
          remedy: () => DoctorStage.use(({ postgres }) => postgres.start),
          command: /^docker compose .* up -d postgres-federated$/
        },
        {
          name: "Valkey is stopped",
          break: DoctorStage.use(({ valkey }) => valkey.stop),
          failed: "valkey",
          code: "VALKEY_UNAVAILABLE",
          skipped: [],
          remedy: () => DoctorStage.use(({ valkey }) => valkey.start),
          command: /^docker compose .* up -d valkey-federated$/
        },
        {
          name: "step-ca is stopped",
          break: DoctorStage.use(({ ca }) => ca.stop),
          failed: "ca",
          code: "CA_CONNECTION_REFUSED",
          skipped: ofCa,
          remedy: () => DoctorStage.use(({ ca }) => ca.start),
          command: /^docker compose .* up -d step-ca$/
        },
        {
          name: "the extension is missing",
          break: DoctorStage.use(({ postgres }) => postgres.exec("drop extension vector")),
          failed: "pgvector",
          code: "PGVECTOR_NOT_CREATED",
          skipped: [],
          remedy: runBesidePostgres,
          command: /^psql "\$DATABASE_URL" -c 'CREATE EXTENSION vector'$/
        },
        {
          name: "a table is missing",
          break: Effect.gen(function* () {
            const { postgres } = yield* DoctorStage
            yield* runBesidePostgres('pg_dump --format custom --file mosaic.dump "$DATABASE_URL"')
            yield* postgres.exec("drop table federation_tasks")
          }),
          failed: "schema",
          code: "SCHEMA_TABLE_MISSING",
          skipped: ["queue", "storage"],
          remedy: runBesidePostgres,
          command: /^pg_restore --clean /
        },
        {
          name: "the schema is newer",
          break: DoctorStage.use(({ postgres }) =>
            postgres.exec("insert into federation_migrations (migration_id, name) values (99, 'later')")
          ),
          failed: "schema",
          code: "STORAGE_SCHEMA_NEWER",
          skipped: ["queue", "storage"],
          remedy: () =>
            DoctorStage.use(({ postgres }) =>
              postgres.exec("delete from federation_migrations where migration_id = 99")
            ),
          command: /^mosaic db status$/
        },
        {
          name: "the provisioner has no disableRenewal",
          break: DoctorStage.use(({ ca }) =>
            ca.reconfigure(
              ofProvisioner("mosaic-fed", (one) => ({
                ...one,
                claims: { ...(one["claims"] as object), disableRenewal: false }
              }))
            )
          ),
          failed: "renewal",
          code: "RENEWAL_NOT_DISABLED",
          skipped: [],
          remedy: () => bootCa(),
          command: /^docker compose .* restart step-ca$/
        },
        {
          name: "the template is a plain one",
          break: Effect.gen(function* () {
            const { ca } = yield* DoctorStage
            const template = yield* writeIn("plain.tpl", plainTemplate)
            yield* ca.reconfigure(
              ofProvisioner("mosaic-fed", (one) => ({
                ...one,
                options: { x509: { templateFile: template } }
              }))
            )
          }),
          failed: "guards",
          code: "TEMPLATE_SIGNS_ANYTHING",
          skipped: [],
          remedy: () => bootCa(),
          command: /^docker compose .* restart step-ca$/
        },
        {
          name: "the template's very file is a plain one",
          break: DoctorStage.use(({ ca }) =>
            Effect.sync(() => {
              rmSync(ca.templatePath)
              writeFileSync(ca.templatePath, plainTemplate)
            })
          ),
          deep: true,
          failed: "guards",
          code: "TEMPLATE_SIGNS_ANYTHING",
          skipped: ["loop"],
          remedy: () => bootCa(),
          command: /^docker compose .* restart step-ca$/
        }
      ]

      for (const { break: breakIt, code, command, deep = false, failed, name, remedy, skipped } of broken) {
        it.effect(`broken: ${name}; the remedy works`, () =>
          Effect.gen(function* () {
            yield* breakIt
            const found = assertAlone(yield* look({ deep }), failed, code, skipped)
            assert.match(found.command, command)
            yield* remedy(found.command)
            assertAllWell(yield* look({ deep }))
          })
        )
      }

      it.effect("a clock of its own that is wrong", () =>
        Effect.gen(function* () {
          const year = 365 * 86_400_000
          const cases = [
            // So far from now that the root is not valid yet, or not any more: nothing can be said of the CA.
            [-300_000, ["root", "ca", ...ofCa], ["postgres", "valkey"]],
            [11 * year, ["root", "ca", ...ofCa], ["postgres", "valkey"]],
            [300_000, ["guards"], ["step-ca", "postgres", "valkey"]]
          ] as const
          for (const [millis, skipped, peers] of cases) {
            const report = yield* shiftedBy(millis)(look())
            const found = assertAlone(report, "clock", "CLOCK_SKEW", skipped)
            assert.match(
              found.problem,
              new RegExp(
                `^this machine's clock is \\d+ s .* ${millis > 0 ? "ahead of" : "behind"} ${peers[0]}, `
              )
            )
            assert.match(
              found.remediation,
              /^set the clock of this machine by a time server: timedatectl set-ntp true/
            )
            for (const peer of peers) assertSkew(report, peer, millis)
          }
          assertAllWell(yield* look())
        })
      )

      it.effect("a CA whose clock is wrong", () =>
        Effect.gen(function* () {
          const { ca } = yield* DoctorStage
          for (const [millis, direction] of [
            [90_000, "behind"],
            [-90_000, "ahead of"]
          ] as const) {
            const proxy = yield* caProxy(ca, millis)
            const both = yield* writeIn("both.crt", `${proxy.rootPem}\n${ca.rootPem}`)
            const report = yield* look({
              environment: { STEP_CA_URL: proxy.url, STEP_CA_ROOT_CERT_PATH: both }
            })
            const found = assertAlone(report, "clock", "CLOCK_SKEW", ["guards"])
            assert.match(
              found.problem,
              new RegExp(`^this machine's clock is \\d+ s .* ${direction} step-ca; 60 s`)
            )
            assertSkew(report, "step-ca", -millis)
            assert.include(found.remediation, "the machine of step-ca")
          }
        })
      )

      it.effect("an oct key is critical, whatever was opted into", () =>
        Effect.gen(function* () {
          const provisionerKey = yield* Effect.promise(() => makeProvisionerKey("HS256"))
          const symmetric = yield* StepCaProcess.make({
            provisionerKey,
            env: { MOSAIC_ROOT_KEY_OUT: (yield* DoctorStage).directory + "/offline/other_root_key" }
          })
          for (const allow of ["true", "false"]) {
            const report = yield* look({
              environment: { ...symmetric.environment, STEP_CA_ALLOW_SYMMETRIC_KEY: allow }
            })
            const found = assertAlone(report, "symmetric-key", "SYMMETRIC_KEY_PUBLISHED", [])
            assert.match(found.problem, /^critical: the CA shows the secret of mosaic-fed /)
            assert.notInclude(JSON.stringify(report), provisionerKey.k ?? "no secret")
          }
        })
      )

      it.effect("warns of an encrypted key that is published; a boot of the CA takes it back", () =>
        Effect.gen(function* () {
          const { ca } = yield* DoctorStage
          const encryptedKey = readFileSync(ca.provisioner.keyPath, "utf8").trim()
          yield* ca.reconfigure(ofProvisioner("mosaic-fed", (one) => ({ ...one, encryptedKey })))
          const report = yield* look()
          const found = assertWarns(report, "encrypted-key", "ENCRYPTED_KEY_PUBLISHED")
          assert.match(found.command, /restart step-ca$/)
          assert.notInclude(JSON.stringify(report), encryptedKey)
          yield* bootCa()
          assertAllWell(yield* look())
        })
      )

      it.effect("warns of the root's key beside the CA; the remedy's command moves it", () =>
        Effect.gen(function* () {
          const { ca, directory } = yield* DoctorStage
          const offline = join(directory, "offline", "root_ca_key")
          renameSync(offline, join(ca.stepPath, "secrets", "root_ca_key"))
          const found = assertWarns(yield* look(), "root-key", "ROOT_KEY_BESIDE_CA")
          assert.match(
            found.command,
            new RegExp(`^STEPPATH=${ca.stepPath} MOSAIC_ROOT_KEY_OUT=\\S+ infra/step-ca/init.sh init$`)
          )
          yield* bootCa({ MOSAIC_ROOT_KEY_OUT: offline })
          assertAllWell(yield* look())
        })
      )

      it.effect("warns of a root that ends within 30 days", () =>
        Effect.gen(function* () {
          const { ca } = yield* DoctorStage
          const { pem } = yield* makeRoot("Next Root", lasting(29))
          const both = yield* writeIn("ending.crt", `${ca.rootPem}\n${pem}`)
          const found = assertWarns(
            yield* look({ environment: { STEP_CA_ROOT_CERT_PATH: both } }),
            "root",
            "ROOT_CERTIFICATE_EXPIRES"
          )
          assert.match(found.problem, /^CN=Next Root ends at .*: 28 d 23 h left$/)
        })
      )

      it.effect("warns of tasks that nobody takes", () =>
        Effect.gen(function* () {
          const { postgres } = yield* DoctorStage
          yield* postgres.exec(
            "insert into federation_tasks (kind, subject, payload, not_before) values ('expire-sweep', '', '{}', now() - interval '1 hour')"
          )
          const found = assertWarns(yield* look(), "queue", "QUEUE_NOT_WORKED_ON")
          assert.strictEqual(found.command, "mosaic gateway serve")
          yield* postgres.exec("delete from federation_tasks")
          assertAllWell(yield* look())
        })
      )

      it.effect(
        "servers that take the connection and never answer: told in time, and nothing else is hidden",
        () =>
          Effect.gen(function* () {
            const { environment } = yield* DoctorStage
            const silent = yield* makeTcpServer(() => undefined)
            const timeout = Duration.seconds(12)
            const { port } = silent
            const cases: ReadonlyArray<readonly [string, Environment, ReadonlyArray<string>, RegExp]> = [
              [
                "postgres",
                { DATABASE_URL: patient(withPort(environment["DATABASE_URL"], port)) },
                ofDatabase,
                /^pg_isready -h 127\.0\.0\.1 -p \d+ -U mosaic$/
              ],
              [
                "valkey",
                { REDIS_URL: withPort(environment["REDIS_URL"], port) },
                [],
                /up -d valkey-federated$/
              ],
              ["ca", { STEP_CA_URL: `https://127.0.0.1:${port}` }, ofCa, /^curl --cacert /]
            ]
            for (const [id, changed, skipped, command] of cases) {
              const report = yield* look({ timeout, environment: changed })
              assert.deepStrictEqual(idsOf(report, "failed"), [id])
              assert.deepStrictEqual(idsOf(report, "skipped").toSorted(), skipped.toSorted())
              const { finding } = checkOf(report, id)
              assert.match(finding?.problem ?? "", / within /)
              assert.match(finding?.command ?? "", command)
              assert.isBelow(report.durationMillis, Duration.toMillis(timeout))
            }
            const all = yield* look({
              timeout,
              environment: Object.assign({}, ...cases.map(([, changed]) => changed))
            })
            assert.isBelow(all.durationMillis, Duration.toMillis(timeout))
            assert.deepStrictEqual(idsOf(all, "failed"), ["postgres", "valkey", "ca"])
          })
      )

      it.effect("what fails in the middle of the closed loop is cleaned up as well", () =>
        Effect.gen(function* () {
          const { postgres } = yield* DoctorStage
          const rows = postgres.exec(
            "select (select count(*) from federation_grants) + (select count(*) from federation_certificates) + (select count(*) from federation_tasks)"
          )
          const before = yield* rows
          yield* postgres.exec(`
          create function broken() returns trigger language plpgsql as $$ begin raise exception 'no revocation today'; end $$;
          create trigger broken before update on federation_grants for each row execute function broken()`)
          const report = yield* look({ deep: true })
          const found = assertAlone(report, "loop", "STORAGE_FAILED", [])
          assert.match(found.problem, /^revoke: .*no revocation today/)
          const { evidence } = checkOf(report, "loop")
          assert.deepInclude(evidence, { cleanedUp: true, failedAt: "revoke" })
          assert.strictEqual(yield* rows, before)
          yield* postgres.exec("drop trigger broken on federation_grants; drop function broken")
          assertAllWell(yield* look({ deep: true }))
        })
      )
    })
  },
  "native"
)
