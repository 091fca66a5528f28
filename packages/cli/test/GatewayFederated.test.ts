/** Two replicas on one PostgreSQL and one Valkey, with Valkey going away and coming back. */
import { assert, layer } from "@effect/vitest"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { federated } from "@mosaic-federation/testing/federated"
import { FederatedParts } from "@mosaic-federation/testing/FederatedParts"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { DateTime, Effect, Redacted } from "effect"
import { HttpClient } from "effect/http"
import { clientOf, layerTransport, makeKey, startGateway } from "./support/gatewayProcess.ts"
import { mosaic, station } from "./support/mosaic.ts"

const newGrant = Effect.map(DateTime.now, (now) => ({
  subjectUserId: UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
  peer: PeerName.make("gateway.example"),
  scopes: [],
  expiresAt: DateTime.add(now, { days: 1 })
}))

/** Two replicas, and their operator at each. */
const replicas = Effect.gen(function* () {
  const { environment, rootPath } = yield* StepCaProcess
  const { postgres, valkey } = yield* FederatedParts.make()
  const owner = Redacted.value(postgres.url)
  const password = "correct-horse-battery"
  const login = new URL(owner)
  login.username = "mosaic_app"
  login.password = password
  const where = yield* station({
    ...environment,
    MOSAIC_DATABASE_OWNER_URL: owner,
    DATABASE_URL: login.href,
    REDIS_URL: Redacted.value(valkey.url)
  })
  const migrated = yield* mosaic(where, ["db", "migrate", "--app-password-file", "-"], { input: password })
  assert.strictEqual(migrated.code, 0, migrated.stderr)
  const { key } = yield* makeKey(where, "admin")
  const replica = Effect.gen(function* () {
    const gateway = yield* startGateway(where)
    const text = (path: string) =>
      HttpClient.get(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${key}` } }).pipe(
        Effect.flatMap((response) =>
          Effect.map(response.text, (body) => ({ status: response.status, body }))
        ),
        Effect.provide(layerTransport({ rootPath })),
        Effect.scoped
      )
    return { ...gateway, text, operator: yield* clientOf(gateway.url, { rootPath, bearer: key }) }
  })
  return { valkey, one: yield* replica, two: yield* replica }
})

/** As soon as it is so: the test's own time-out is the bound. */
const until = <A, E, R>(look: Effect.Effect<A, E, R>, isSo: (found: A) => boolean) =>
  Effect.repeat(Effect.delay(look, "20 millis"), { until: isSo })

federated("mosaic gateway serve, federated", () => {
  layer(StepCaProcess.layer(), { timeout: "120 seconds", excludeTestServices: true })((it) => {
    it.effect(
      "a change of a grant at one replica is its status at the other, out of the cache they share",
      () =>
        Effect.gen(function* () {
          const { one, two } = yield* replicas
          const grant = yield* one.operator.grants.create({ payload: yield* newGrant })
          const params = { id: grant.id }
          const at = (replica: typeof one) => replica.operator.grants.status({ params })
          for (const [change, expected] of [
            [one.operator.grants.suspend({ params }), "suspended"],
            [two.operator.grants.resume({ params }), "active"],
            [one.operator.grants.revoke({ params, payload: { reason: "over" } }), "revoked"]
          ] as const) {
            yield* until(at(two), ({ from }) => from === "cache")
            yield* change
            // Not until: the change is told before its own request is answered.
            for (const replica of [one, two]) assert.strictEqual((yield* at(replica)).status, expected)
          }
          assert.match(
            (yield* two.text("/metrics")).body,
            /^mosaic_grant_status_answers_total\{from="cache"\} [1-9]/m
          )
        }),
      120_000
    )

    it.effect(
      "without Valkey everything goes on, and readiness, metrics and log say that it is away",
      () =>
        Effect.gen(function* () {
          const { one, valkey } = yield* replicas
          const { operator } = one
          const grant = yield* operator.grants.create({ payload: yield* newGrant })
          const params = { id: grant.id }
          const valkeyCheck = Effect.map(one.text("/readyz"), ({ body, status }) => {
            const { checks } = JSON.parse(body) as {
              readonly checks: ReadonlyArray<{ readonly name: string; readonly ok: boolean }>
            }
            return { status, check: checks.find(({ name }) => name === "valkey") }
          })
          yield* until(operator.grants.status({ params }), ({ from }) => from === "cache")
          for (const [begin, end] of [
            ["kill9", "start"],
            ["freeze", "thaw"]
          ] as const) {
            yield* valkey[begin]
            const away = yield* until(valkeyCheck, ({ check }) => check?.ok === false)
            assert.deepStrictEqual<object>(away, {
              status: 200,
              check: { name: "valkey", ok: false, required: false, code: "VALKEY_UNAVAILABLE" }
            })
            assert.match((yield* one.text("/metrics")).body, /^mosaic_valkey_up 0$/m)
            yield* operator.grants.suspend({ params })
            assert.deepInclude(yield* operator.grants.status({ params }), {
              status: "suspended",
              from: "row"
            })
            yield* operator.grants.resume({ params })
            const { pem: csr } = yield* makeCsr("P-256")
            yield* operator.certificates.issue({ params, headers: {}, payload: { csr } })
            yield* valkey[end]
            yield* until(valkeyCheck, ({ check }) => check?.ok === true)
            assert.strictEqual((yield* operator.grants.status({ params })).status, "active")
            assert.match((yield* one.text("/metrics")).body, /^mosaic_valkey_up 1$/m)
          }
          const told = one.log().filter(({ message }) => message.startsWith("Valkey is away"))
          // By the outage and its reasons, and not by the request.
          assert.isTrue(told.length >= 2 && told.length < 10, JSON.stringify(told))
          assert.deepInclude(told[0], { level: "warn", code: "VALKEY_UNAVAILABLE" })
          const { caRevocations } = yield* operator.grants.revoke({ params, payload: { reason: "over" } })
          assert.deepInclude(caRevocations, { done: 2, open: 0 })
        }),
      120_000
    )
  })
})
