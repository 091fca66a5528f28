/** What the ledger says when several gateways are asked at once, or one of them dies: real processes on one database. */
import { assert, layer } from "@effect/vitest"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { DateTime, Effect } from "effect"
import { clientOf, makeKey, startGateway } from "./support/gatewayProcess.ts"
import { station } from "./support/mosaic.ts"

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
    payload: {
      subjectUserId: userId,
      peer: PeerName.make("gateway.example"),
      scopes: ["orders:read"],
      expiresAt: DateTime.add(yield* DateTime.now, { days: 30 })
    }
  })
  return { one, two, stranger, grant }
})

/** How many the CA has signed, by its own log. */
const signed = StepCaProcess.use(({ log }) =>
  Effect.map(
    log,
    (text) => text.split("\n").filter((line) => /path=\/1\.0\/sign .*status=201/.test(line)).length
  )
)

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
})
