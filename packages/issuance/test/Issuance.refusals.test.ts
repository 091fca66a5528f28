/**
 * The errors of `Issuance.issue` that need a setting of their own: a grant that SQL suspended, a key that does not sign,
 * a CA under other names or another root, records that break at the last step.
 */
import dns from "node:dns"
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, layer, vi } from "@effect/vitest"
import { type Grant, NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { hostileCa } from "@mosaic-federation/testing/HostileCa"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { makeRoot } from "@mosaic-federation/testing/TestPki"
import { parseRootBundle } from "@mosaic-federation/x509/RootBundle"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { ConfigProvider, DateTime, Duration, Effect, Layer, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as Database from "../src/Database.ts"
import { GrantRepo } from "../src/GrantRepo.ts"
import { Issuance } from "../src/Issuance.ts"
import { IssuanceConfig, type IssuanceSettings } from "../src/IssuanceConfig.ts"
import { issuanceOver, layerConfig, settingsFor } from "./support/issuanceOver.ts"

/** The records, with the database under them in reach. */
const layerRecords = Layer.unwrap(
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-test-"))),
      removeDirectory
    ),
    (home) =>
      GrantRepo.layerNoDeps.pipe(
        Layer.provideMerge(Database.layer),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { MOSAIC_HOME: home } })))
      )
  )
)

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")

const makeGrant = Effect.gen(function* () {
  const grants = yield* GrantRepo
  return yield* grants.create(
    new NewGrant({
      subjectUserId: userId,
      peer: PeerName.make("gateway.example"),
      scopes: [],
      expiresAt: DateTime.addDuration(yield* DateTime.now, "30 days")
    })
  )
})

const requestFor = (grant: Grant) =>
  Effect.map(
    makeCsr("P-256"),
    ({ pem }) => new IssueCertRequest({ grantId: grant.id, subjectUserId: userId, csrPem: pem })
  )

const issue = (request: IssueCertRequest) => Issuance.use((issuance) => issuance.issue(request))

const refusalOf = (grant: Grant, settings: IssuanceSettings) =>
  Effect.flatMap(requestFor(grant), issue).pipe(Effect.flip, Effect.provide(issuanceOver(settings)))

const recordsOf = (grant: Grant) => GrantRepo.use((grants) => grants.certificates({ grantId: grant.id }))

const outcomesOf = (grant: Grant) =>
  Effect.map(recordsOf(grant), (records) => records.map(({ errorCode, state }) => [state, errorCode]))

const realSettings = Effect.flatMap(StepCaProcess, ({ environment }) =>
  IssuanceConfig.useSync((settings) => settings).pipe(Effect.provide(layerConfig(environment)), Effect.orDie)
)

const signLines = StepCaProcess.use(({ log }) =>
  Effect.map(log, (text) => text.split("\n").filter((line) => line.includes("/1.0/sign")).length)
)

/** A resolver that knows one name more, for as long as the scope lasts. */
const resolving = (name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { lookup } = dns
      return vi
        .spyOn(dns, "lookup")
        .mockImplementation(((host: string, ...rest: ReadonlyArray<unknown>) =>
          Reflect.apply(lookup, dns, [host === name ? "localhost" : host, ...rest])) as typeof lookup)
    }),
    (spy) => Effect.sync(() => spy.mockRestore())
  )

describe("Issuance, refused by what is around it", () => {
  layer(Layer.mergeAll(layerRecords, StepCaProcess.layer()), { excludeTestServices: true })((it) => {
    it.effect("refuses a grant that is suspended, before any HTTP call, and issues when it is resumed", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient
        const settings = yield* realSettings
        const grant = yield* makeGrant
        const before = yield* signLines
        yield* sql`UPDATE federation_grants SET status = 'suspended' WHERE id = ${grant.id}`
        const error = yield* refusalOf(grant, settings)
        assert.strictEqual(error.code, "GRANT_SUSPENDED")
        assert.strictEqual(error.message, `grant ${grant.id} is suspended`)
        assert.strictEqual(
          error.remediation,
          `have the grantor resume it; its state: mosaic federation grant show ${grant.id}`
        )
        assert.deepStrictEqual(yield* recordsOf(grant), [])
        assert.strictEqual(yield* signLines, before)
        yield* sql`UPDATE federation_grants SET status = 'active' WHERE id = ${grant.id}`
        yield* Effect.flatMap(requestFor(grant), issue).pipe(Effect.provide(issuanceOver(settings)))
      })
    )

    it.effect("refuses a request of the wrong form that passed no schema, and names the field", () =>
      Effect.gen(function* () {
        const settings = yield* realSettings
        const grant = yield* makeGrant
        const request = yield* requestFor(grant)
        const before = yield* signLines
        const cases = [
          ["grantId", "7", "a canonical lower-case UUID"],
          ["grantId", undefined, "Missing key"],
          ["subjectUserId", userId.toUpperCase(), "a canonical lower-case UUID"],
          ["csrPem", null, "Expected string"],
          ["lifetime", Duration.zero, "a lifetime above zero"],
          ["lifetime", Duration.hours(-1), "a lifetime above zero"]
        ] as const
        for (const [field, value, expected] of cases) {
          // What a caller without types may hand over: its prototype is right, its fields are not.
          const wrong = Object.assign(Object.create(IssueCertRequest.prototype) as IssueCertRequest, request)
          if (value === undefined) Reflect.deleteProperty(wrong, field)
          else Reflect.set(wrong, field, value)
          const error = yield* Effect.flip(issue(wrong)).pipe(Effect.provide(issuanceOver(settings)))
          assert.strictEqual(error.code, "REQUEST_INVALID")
          assert.include(error.message, expected)
          assert.include(error.message, `["${field}"]`)
          assert.notInclude(error.message, "\n")
          assert.strictEqual(
            error.remediation,
            "correct the field that is named; its form is in /docs of the gateway (docs/api.md), and for a command in what it says with --help"
          )
        }
        assert.strictEqual(yield* signLines, before)
        assert.deepStrictEqual(yield* recordsOf(grant), [])
      })
    )

    it.effect("says that the key does not sign, and asks the CA nothing", () =>
      Effect.gen(function* () {
        const settings = yield* realSettings
        const grant = yield* makeGrant
        const before = yield* signLines
        const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
        const error = yield* refusalOf(grant, {
          ...settings,
          provisionerKey: { ...settings.provisionerKey, privateKey: Redacted.make(privateKey) }
        })
        assert.strictEqual(error.code, "TOKEN_SIGNING_FAILED")
        assert.strictEqual(error.message, 'signing with "alg" ES256 failed')
        assert.strictEqual(
          error.remediation,
          "check that the key parameters of STEP_CA_PROVISIONER_KEY_JSON belong together, or make a new provisioner key"
        )
        assert.deepStrictEqual(yield* outcomesOf(grant), [["refused", "TOKEN_SIGNING_FAILED"]])
        assert.strictEqual(yield* signLines, before)
      })
    )

    it.effect("refuses a CA under another root for that reason, and sends it nothing", () =>
      Effect.gen(function* () {
        const settings = yield* realSettings
        const grant = yield* makeGrant
        const before = yield* signLines
        const { pem } = yield* makeRoot("Another Root CA")
        const roots = Result.getOrThrow(parseRootBundle(pem, new Date()))
        const error = yield* refusalOf(grant, { ...settings, roots })
        assert.strictEqual(error.code, "CA_ISSUER_UNKNOWN")
        assert.strictEqual(
          error.message,
          `the certificate of ${settings.caUrl.origin} does not chain to a root in STEP_CA_ROOT_CERT_PATH (UNABLE_TO_GET_ISSUER_CERT_LOCALLY)`
        )
        assert.include(error.remediation, "compare fingerprints: step certificate fingerprint ROOT_FILE")
        assert.isFalse(error.retryable)
        assert.deepStrictEqual(yield* outcomesOf(grant), [["refused", "CA_ISSUER_UNKNOWN"]])
        assert.strictEqual(yield* signLines, before)
      })
    )

    it.effect("refuses a CA by a name that it does not have, and sends it nothing", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const settings = yield* realSettings
        yield* ca.reconfigure((config) => ({ ...config, dnsNames: ["127.0.0.1"] }))
        const grant = yield* makeGrant
        const before = yield* signLines
        const caUrl = new URL(`https://localhost:${ca.port}`)
        const error = yield* refusalOf(grant, { ...settings, caUrl })
        assert.strictEqual(error.code, "CA_HOST_NAME_MISMATCH")
        assert.strictEqual(
          error.message,
          `the certificate of ${caUrl.origin} does not name that host in subjectAltName`
        )
        assert.include(error.remediation, "set STEP_CA_URL to a name in the certificate")
        assert.deepStrictEqual(yield* outcomesOf(grant), [["refused", "CA_HOST_NAME_MISMATCH"]])
        assert.strictEqual(yield* signLines, before)
      })
    )

    it.effect("proves that the audience is a name the CA does not call itself by", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const settings = yield* realSettings
        // TLS accepts a wildcard for any name below it, and step-ca takes only the wildcard itself for an audience.
        yield* ca.reconfigure((config) => ({ ...config, dnsNames: ["127.0.0.1", "*.mosaic.test"] }))
        yield* resolving("ca.mosaic.test")
        const grant = yield* makeGrant
        const origin = `https://ca.mosaic.test:${ca.port}`
        const error = yield* refusalOf(grant, { ...settings, caUrl: new URL(origin) })
        assert.strictEqual(error.code, "CA_AUDIENCE_MISMATCH")
        assert.match(error.message, /^401: "aud" is https:\/\/ca\.mosaic\.test:\d+\/1\.0\/sign; /)
        assert.include(error.message, "the CA's own certificate names ")
        assert.include(error.message, "*.mosaic.test")
        assert.strictEqual(
          error.remediation,
          "set STEP_CA_URL to a name in the CA's dnsNames, or add the name there (STEP_CA_DNS) and restart the CA"
        )
        assert.deepStrictEqual(yield* outcomesOf(grant), [["refused", "CA_AUDIENCE_MISMATCH"]])
      })
    )

    it.effect("withholds, revokes and records a certificate whose record the database refuses", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient
        const ca = yield* hostileCa()
        const grant = yield* makeGrant
        yield* sql`
          CREATE FUNCTION refuse_issued() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'no certificates today'; END $$`
        yield* sql`
          CREATE TRIGGER refuse_issued BEFORE UPDATE ON federation_certificates
          FOR EACH ROW WHEN (NEW.state = 'issued') EXECUTE FUNCTION refuse_issued()`
        yield* Effect.addFinalizer(() => Effect.orDie(sql`DROP FUNCTION refuse_issued() CASCADE`))
        const settings = yield* settingsFor(ca)
        const error = yield* refusalOf(grant, settings)
        assert.strictEqual(error.code, "STORAGE_FAILED")
        assert.include(error.message, "record the certificate: no certificates today")
        assert.include(error.remediation, "look at the database's log and free space")
        const [record] = yield* recordsOf(grant)
        assert.deepStrictEqual(
          [record?.state, record?.errorCode, record?.fullChainPem],
          ["withheld", "STORAGE_FAILED", null]
        )
        assert.isNotNull(record?.revokedAtCa)
        assert.deepStrictEqual(ca.revokedSerials, [String(record?.serial)])

        ca.tell({ revoke: { status: 403, body: '{"message":"no"}' } })
        const other = yield* makeGrant
        assert.strictEqual((yield* refusalOf(other, settings)).code, "STORAGE_FAILED")
        const [unrevoked] = yield* recordsOf(other)
        assert.deepStrictEqual([unrevoked?.state, unrevoked?.revokedAtCa], ["withheld", null])
      })
    )

    it.effect("tells the first error where nothing can be recorded any more", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient
        const ca = yield* hostileCa()
        const grant = yield* makeGrant
        ca.tell({
          beforeAnswer: () =>
            Effect.runPromise(
              Effect.asVoid(sql`ALTER TABLE federation_certificates RENAME TO federation_certificates_gone`)
            )
        })
        yield* Effect.addFinalizer(() =>
          Effect.orDie(sql`ALTER TABLE federation_certificates_gone RENAME TO federation_certificates`)
        )
        const error = yield* refusalOf(grant, yield* settingsFor(ca))
        assert.strictEqual(error.code, "STORAGE_FAILED")
        assert.include(
          error.message,
          'record the certificate: relation "federation_certificates" does not exist'
        )
        assert.include(error.remediation, "look at the database's log")
        assert.strictEqual(ca.revokedSerials.length, 1)
      })
    )
  })
})
