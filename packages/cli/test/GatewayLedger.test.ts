/** What the ledger says when several gateways are asked at once, or one of them dies: real processes on one database. */
import { assert, layer } from "@effect/vitest"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { DateTime, Effect, Fiber, Schedule } from "effect"
import { clientOf, makeKey, startGateway } from "./support/gatewayProcess.ts"
import { heldCa } from "./support/heldCa.ts"
import { type Extra, station } from "./support/mosaic.ts"

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")

/** Two gateways on one database and one CA, each with its client, and a grant. */
const twoGateways = Effect.gen(function* () {
  const { environment, rootPath } = yield* StepCaProcess
  const where = yield* station(environment)
  const admin = yield* makeKey(where, "admin")
  const other = yield* makeKey(where, "issue")
  const gateways = [yield* startGateway(where), yield* startGateway(where)] as const
  const one = yield* clientOf(gateways[0].url, { rootPath, bearer: admin.key })
  const two = yield* clientOf(gateways[1].url, { rootPath, bearer: admin.key })
  const stranger = yield* clientOf(gateways[1].url, { rootPath, bearer: other.key })
  const grant = yield* one.grants.create({
    payload: yield* newGrant
  })
  return { one, two, stranger, grant }
})

const counted = (pattern: RegExp) =>
  StepCaProcess.use(({ log }) =>
    Effect.map(log, (text) => text.split("\n").filter((line) => pattern.test(line)).length)
  )

/** How many the CA has signed, by its own log. */
const signed = counted(/path=\/1\.0\/sign .*status=201/)

/** Until it is so; the test's own time-out ends the wait. */
const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(condition, { until: (holds) => holds, schedule: Schedule.spaced("100 millis") })

/** One gateway whose way to the CA can be closed, and that can be started again. */
const heldGateway = Effect.gen(function* () {
  const { environment, rootPath, url } = yield* StepCaProcess
  const where = yield* station(environment)
  const ca = yield* heldCa(url)
  const { key: bearer } = yield* makeKey(where, "admin")
  const startOne = Effect.fnUntraced(function* (extra: Extra) {
    const gateway = yield* startGateway(where, extra)
    return { gateway, client: yield* clientOf(gateway.url, { rootPath, bearer }) }
  })
  return { ca, direct: startOne({}), held: startOne({ STEP_CA_URL: ca.url }) }
})

const newGrant = Effect.map(DateTime.now, (now) => ({
  subjectUserId: userId,
  peer: PeerName.make("gateway.example"),
  scopes: ["orders:read"],
  expiresAt: DateTime.add(now, { days: 30 })
}))

layer(StepCaProcess.layer(), { timeout: "60 seconds", excludeTestServices: true })("the ledger", (it) => {
  it.effect(
    "issues once for one CSR, asked for at two gateways at once",
    () =>
      Effect.gen(function* () {
        const { grant, one, two } = yield* twoGateways
        const { pem: csr } = yield* makeCsr("P-256")
        const before = yield* signed
        const asked = [one, two, one, two, one, two, one, two].map((client) =>
          client.certificates.issue({ params: { id: grant.id }, headers: {}, payload: { csr } })
        )
        const [first, ...others] = yield* Effect.all(asked, { concurrency: "unbounded" })
        for (const other of others) assert.deepStrictEqual(other, first)
        assert.strictEqual((yield* signed) - before, 1)
        const { certificates } = yield* two.certificates.list({ query: { grant: grant.id } })
        assert.deepStrictEqual(
          certificates.map(({ serial, state }) => [serial, state]),
          [[first?.serial, "issued"]]
        )
      }),
    { timeout: 120_000 }
  )

  it.effect(
    "has an Idempotency-Key stand for one request of one caller at both",
    () =>
      Effect.gen(function* () {
        const { grant, one, stranger, two } = yield* twoGateways
        const [mine, theirs] = [(yield* makeCsr("P-256")).pem, (yield* makeCsr("P-256")).pem]
        const issue = (client: typeof one, csr: string) =>
          client.certificates.issue({
            params: { id: grant.id },
            headers: { "idempotency-key": "order-4711" },
            payload: { csr }
          })
        const before = yield* signed
        const [first, second, another] = yield* Effect.all(
          [issue(one, mine), issue(two, mine), issue(stranger, theirs)],
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(second, first)
        assert.notStrictEqual(another.serial, first.serial)
        assert.strictEqual((yield* signed) - before, 2)
        const reused = yield* Effect.flip(issue(two, theirs))
        assert.strictEqual("code" in reused ? reused.code : reused._tag, "IDEMPOTENCY_KEY_REUSED")
        assert.deepStrictEqual(yield* issue(two, mine), first)
      }),
    { timeout: 120_000 }
  )

  for (const what of ["requests", "answers"] as const) {
    const when = what === "requests" ? "before the CA hears of it" : "after the CA has signed"
    it.effect(
      `tells the truth of an issuance whose gateway is killed ${when}, and goes on`,
      () =>
        Effect.gen(function* () {
          const { ca, direct, held } = yield* heldGateway
          const { client, gateway } = yield* held
          const grant = yield* client.grants.create({ payload: yield* newGrant })
          const { pem: csr } = yield* makeCsr("P-256")
          const ask = { params: { id: grant.id }, headers: {}, payload: { csr } }
          const list = { query: { grant: grant.id } }
          const before = yield* signed
          ca.hold(what)
          const asking = yield* Effect.forkChild(client.certificates.issue(ask))
          yield* until(
            Effect.map(
              client.certificates.list(list),
              ({ certificates }) => certificates[0]?.state === "intent"
            )
          )
          if (what === "answers") yield* until(Effect.map(signed, (now) => now === before + 1))
          yield* gateway.end("SIGKILL")
          yield* Fiber.interrupt(asking)
          assert.strictEqual((yield* signed) - before, what === "requests" ? 0 : 1)

          const { client: restarted } = yield* direct
          const settled = Effect.map(restarted.certificates.list(list), ({ certificates }) => certificates)
          yield* until(Effect.map(settled, ([record]) => record !== undefined && record.revokedAtCa !== null))
          const [lost] = yield* settled
          assert.deepStrictEqual([lost?.state, lost?.errorCode], ["ambiguous", "INTERRUPTED"])
          const issued = yield* restarted.certificates.issue(ask)
          assert.notStrictEqual(issued.serial, lost?.serial)
          assert.deepStrictEqual(
            (yield* settled).map(({ serial, state }) => [serial, state]),
            [
              [issued.serial, "issued"],
              [lost?.serial, "ambiguous"]
            ]
          )
        }),
      { timeout: 120_000 }
    )
  }

  it.effect(
    "lets a revocation at one gateway win over an issuance in flight at another",
    () =>
      Effect.gen(function* () {
        const { ca, direct, held } = yield* heldGateway
        const { client } = yield* held
        const { client: other } = yield* direct
        const grant = yield* other.grants.create({ payload: yield* newGrant })
        const { pem: csr } = yield* makeCsr("P-256")
        const params = { id: grant.id }
        const before = yield* signed
        ca.hold("answers")
        const asking = yield* Effect.forkChild(
          Effect.flip(client.certificates.issue({ params, headers: {}, payload: { csr } }))
        )
        yield* until(Effect.map(signed, (now) => now === before + 1))
        const revocation = yield* other.grants.revoke({ params, payload: { reason: "the contract ended" } })
        assert.strictEqual(revocation.status, "revoked")
        ca.release()
        const error = yield* Fiber.join(asking)
        assert.strictEqual("code" in error ? error.code : error._tag, "GRANT_ENDED_IN_FLIGHT")
        const { certificates } = yield* other.certificates.list({ query: { grant: grant.id } })
        const [record, ...more] = certificates
        assert.deepStrictEqual(
          [record?.state, record?.errorCode, more],
          ["withheld", "GRANT_ENDED_IN_FLIGHT", []]
        )
        assert.isNotNull(record?.revokedAtCa)
      }),
    { timeout: 120_000 }
  )
})
