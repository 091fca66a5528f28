/** step-ca answers every 401 alike. Each cause is provoked at a real step-ca and must be proved by its own error. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { hostileCa } from "@mosaic-federation/testing/HostileCa"
import { makeProvisionerKey } from "@mosaic-federation/testing/ProvisionerKeys"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { Clock, DateTime, type Duration, Effect, Layer, Option, Redacted } from "effect"
import { GrantRepo } from "../src/GrantRepo.ts"
import { Issuance } from "../src/Issuance.ts"
import { IssuanceConfig, type IssuanceSettings } from "../src/IssuanceConfig.ts"
import { readProvisionerKey } from "../src/ProvisionerKey.ts"
import { issuanceOver, layerConfig, layerRecords, settingsFor } from "./support/issuanceOver.ts"

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")

const issueOnce = Effect.gen(function* () {
  const grants = yield* GrantRepo
  const issuance = yield* Issuance
  const grant = yield* grants.create(
    new NewGrant({
      subjectUserId: userId,
      peer: PeerName.make("gateway.example"),
      scopes: [],
      expiresAt: DateTime.addDuration(yield* DateTime.now, "30 days")
    })
  )
  const { pem } = yield* makeCsr("P-256")
  return yield* issuance.issue(
    new IssueCertRequest({ grantId: grant.id, subjectUserId: userId, csrPem: pem })
  )
})

const settingsOf = (environment: { readonly [variable: string]: string }) =>
  IssuanceConfig.useSync((settings) => settings).pipe(Effect.provide(layerConfig(environment)), Effect.orDie)

const refusalWith = (settings: IssuanceSettings) =>
  Effect.flip(issueOnce).pipe(Effect.provide(issuanceOver(settings)))

const keyOf = (jwk: object) =>
  readProvisionerKey({
    text: Redacted.make(JSON.stringify(jwk)),
    password: Redacted.make("unused"),
    kid: Option.none(),
    allowSymmetric: false
  }).pipe(Effect.orDie)

/** The real clock, moved. */
const shiftedBy = (millis: number) =>
  Effect.updateService(Clock.Clock, (clock) => {
    const nanos = BigInt(millis) * 1_000_000n
    return {
      currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis),
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + millis,
      currentTimeNanos: Effect.map(clock.currentTimeNanos, (now) => now + nanos),
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + nanos,
      monotonicTimeNanos: clock.monotonicTimeNanos,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      sleep: (duration: Duration.Duration) => clock.sleep(duration)
    } satisfies Clock.Clock
  })

describe("TokenDiagnosis at a real step-ca", () => {
  layer(Layer.mergeAll(StepCaProcess.layer(), layerRecords), { excludeTestServices: true })((it) => {
    it.effect("proves that the CA has no provisioner of that name", () =>
      Effect.gen(function* () {
        const { environment } = yield* StepCaProcess
        const error = yield* refusalWith({
          ...(yield* settingsOf(environment)),
          provisioner: "somebody-else"
        })
        assert.strictEqual(error.code, "CA_PROVISIONER_UNKNOWN")
        assert.strictEqual(
          error.message,
          '401: "iss" is somebody-else; the CA lists mosaic-fed, mosaic-gateway'
        )
        assert.include(error.remediation, "set STEP_CA_PROVISIONER to a name of step ca provisioner list")
      })
    )

    it.effect("proves that the provisioner has another key", () =>
      Effect.gen(function* () {
        const { environment, stepPath } = yield* StepCaProcess
        const settings = yield* settingsOf(environment)
        const provisionerKey = yield* keyOf(yield* Effect.promise(() => makeProvisionerKey("ES256")))
        const error = yield* refusalWith({ ...settings, provisionerKey })
        assert.strictEqual(error.code, "CA_KEY_UNKNOWN")
        assert.strictEqual(
          error.message,
          `401: "kid" is ${provisionerKey.kid}; provisioner mosaic-fed of the CA has ${settings.provisionerKey.kid}`
        )
        const [file = ""] = /gateway\/\S+/.exec(error.remediation) ?? []
        assert.include(error.remediation, `init.sh writes it to ${file} in the CA's STEPPATH`)
        assert.isTrue(existsSync(join(stepPath, file)), file)
      })
    )

    it.effect("proves that another key goes by the same kid", () =>
      Effect.gen(function* () {
        const { environment } = yield* StepCaProcess
        const settings = yield* settingsOf(environment)
        const other = yield* keyOf(yield* Effect.promise(() => makeProvisionerKey("ES256")))
        const error = yield* refusalWith({
          ...settings,
          provisionerKey: { ...other, kid: settings.provisionerKey.kid }
        })
        assert.strictEqual(error.code, "CA_KEY_MISMATCH")
        assert.include(error.message, `has another key under "kid" ${settings.provisionerKey.kid}`)
        assert.include(error.remediation, "set STEP_CA_PROVISIONER_KEY_JSON to the key of this CA")
      })
    )

    for (const [way, minutes] of [
      ["ahead of", 5],
      ["behind", -5]
    ] as const) {
      it.effect(`measures a clock that is ${way} the CA's`, () =>
        Effect.gen(function* () {
          const { environment } = yield* StepCaProcess
          const settings = yield* settingsOf(environment)
          const error = yield* refusalWith(settings).pipe(shiftedBy(minutes * 60_000))
          assert.strictEqual(error.code, "CA_CLOCK_SKEW")
          assert.match(
            error.message,
            new RegExp(`^401: this clock is (29\\d|30\\d) s ${way} the CA's Date, the leeway is 60 s$`)
          )
          assert.include(error.remediation, "timedatectl set-ntp true")
        })
      )
    }

    it.effect("finds that the CA started after the token, and waits no longer than it must", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        yield* ca.stop
        yield* ca.start
        const settings = yield* settingsOf(ca.environment)
        const error = yield* refusalWith(settings).pipe(shiftedBy(-20_000))
        assert.strictEqual(error.code, "CA_TOKEN_BEFORE_START")
        assert.match(
          error.message,
          /"iat" lies before the CA's start; this clock is (1\d|2\d) s behind the CA's Date/
        )
        assert.include(error.remediation, "timedatectl set-ntp true")
        assert.isTrue(error.retryable)
      })
    )

    it.effect("makes good a token that is a second older than the CA with one fresh one", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        yield* ca.stop
        yield* ca.start
        const settings = yield* settingsOf(ca.environment)
        const issued = yield* issueOnce.pipe(Effect.provide(issuanceOver(settings)), shiftedBy(-2_000))
        assert.match(issued.serial, /^[1-9]/)
      })
    )
  })

  it.live("says that it proved nothing where it can look at nothing", () =>
    Effect.gen(function* () {
      const ca = yield* hostileCa()
      ca.tell({ answer: { status: 401, body: '{"message":"no"}' }, provisioners: "none" })
      const error = yield* refusalWith(yield* settingsFor(ca))
      assert.strictEqual(error.code, "CA_TOKEN_REFUSED")
      assert.include(
        error.message,
        "401, cause unproved: this token is new to the CA as far as this process knows; the clocks differ by"
      )
      assert.include(error.message, "GET /provisioners did not answer")
      assert.include(error.message, "(X-Request-Id hostile-1)")
      assert.include(error.remediation, "find this request in the CA's log: hostile-1")
    }).pipe(Effect.provide(layerRecords))
  )
})
