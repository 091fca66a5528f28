/** The same CSR under the same grant: one certificate, whoever asks, how often and at which process, while it is good. */
import { assert, layer } from "@effect/vitest"
import type { Grant } from "@mosaic-federation/domain/Grant"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { UserId } from "@mosaic-federation/domain/UserId"
import { type Csr, makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { parse } from "@mosaic-federation/x509/CertificateRequest"
import { DateTime, Duration, Effect, Layer, Result } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { GrantRepo } from "../src/GrantRepo.ts"
import { Issuance } from "../src/Issuance.ts"
import { PinnedHttpClient } from "../src/PinnedHttpClient.ts"
import { randomSerial } from "../src/randomSerial.ts"
import { StepCa } from "../src/StepCa.ts"
import { TaskRepo } from "../src/TaskRepo.ts"
import { TokenDiagnosis } from "../src/TokenDiagnosis.ts"
import { randomJti, TokenSigner } from "../src/TokenSigner.ts"
import { databaseOfItsOwn } from "./support/databaseOfItsOwn.ts"
import { layerConfig } from "./support/issuanceOver.ts"

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")

const layerIssuance = Layer.unwrap(
  StepCaProcess.use(({ environment }) =>
    Effect.succeed(
      Issuance.layerNoDeps.pipe(
        Layer.provide(StepCa.layerNoDeps),
        Layer.provide(TokenDiagnosis.layerNoDeps),
        Layer.provide(Layer.mergeAll(PinnedHttpClient.layerNoDeps, TokenSigner.layerNoDeps)),
        Layer.provide(layerConfig(environment))
      )
    )
  )
)

const layerRecords = Layer.mergeAll(GrantRepo.layerNoDeps, TaskRepo.layerNoDeps).pipe(
  Layer.provideMerge(databaseOfItsOwn)
)

const TestLayer = layerIssuance.pipe(
  Layer.provideMerge(layerRecords),
  Layer.provideMerge(StepCaProcess.layer())
)

const makeGrant = Effect.gen(function* () {
  const grants = yield* GrantRepo
  return yield* grants.create(
    new NewGrant({
      subjectUserId: userId,
      peer: PeerName.make("gateway.example"),
      scopes: [],
      expiresAt: DateTime.add(yield* DateTime.now, { days: 30 })
    })
  )
})

const issue = Effect.fnUntraced(function* (grant: Grant, csr: Pick<Csr, "pem">, lifetime?: Duration.Input) {
  const issuance = yield* Issuance
  return yield* issuance.issue(
    new IssueCertRequest({
      grantId: grant.id,
      subjectUserId: userId,
      csrPem: csr.pem,
      ...(lifetime === undefined ? {} : { lifetime: Duration.fromInputUnsafe(lifetime) })
    })
  )
})

const statesOf = (grant: Grant) =>
  GrantRepo.use((grants) =>
    Effect.map(grants.certificates({ grantId: grant.id }), (records) => records.map(({ state }) => state))
  )

/** How many the CA has signed, by its own log. */
const signed = StepCaProcess.use(({ log }) =>
  Effect.map(
    log,
    (text) => text.split("\n").filter((line) => /path=\/1\.0\/sign .*status=201/.test(line)).length
  )
)

/** The intent of some other program, which says that it is at work. */
const intentOf = Effect.fnUntraced(function* (grant: Grant, csr: Pick<Csr, "pem">) {
  const grants = yield* GrantRepo
  const requestedAt = yield* DateTime.now
  const serial = randomSerial()
  const { sha256Hex: csrSha256 } = Result.getOrThrow(parse(csr.pem))
  const result = yield* grants.recordIntent({
    serial,
    grantId: grant.id,
    subjectUserId: userId,
    csrSha256,
    jti: randomJti(),
    requester: "cli",
    requestId: "of-another-program",
    requestedAt,
    notAfter: DateTime.add(requestedAt, { hours: 1 })
  })
  assert.strictEqual(result._tag, "Recorded")
  return serial
})

layer(TestLayer, { timeout: "90 seconds", excludeTestServices: true })("Issuance, asked again", (it) => {
  it.effect("gives the same certificate for the same CSR, and another one for another", () =>
    Effect.gen(function* () {
      const grant = yield* makeGrant
      const csr = yield* makeCsr("P-256")
      const before = yield* signed
      const first = yield* issue(grant, csr)
      assert.deepStrictEqual(yield* issue(grant, csr), first)
      // Other bytes in PEM, the same in DER.
      assert.deepStrictEqual(yield* issue(grant, { pem: csr.pem.replaceAll("\n", "\r\n") }), first)
      assert.deepStrictEqual(yield* issue(grant, csr, "1 hour"), first)
      assert.notStrictEqual((yield* issue(grant, yield* makeCsr("P-256"))).serial, first.serial)
      assert.notStrictEqual((yield* issue(yield* makeGrant, csr)).serial, first.serial)
      assert.deepStrictEqual(yield* statesOf(grant), ["issued", "issued"])
      assert.strictEqual((yield* signed) - before, 3)
    })
  )

  it.effect("gives another one where a longer life is asked, half of it is over, or it is revoked", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const csr = yield* makeCsr("P-256")
      const grant = yield* makeGrant
      const short = yield* issue(grant, csr, "1 hour")
      const long = yield* issue(grant, csr, "2 hours")
      assert.notStrictEqual(long.serial, short.serial)
      assert.strictEqual((yield* issue(grant, csr, "1 hour")).serial, long.serial)

      const age = (minutes: number) => sql`
        UPDATE federation_certificates SET requested_at = requested_at - make_interval(mins => ${minutes}),
          not_before = not_before - make_interval(mins => ${minutes}),
          not_after = not_after - make_interval(mins => ${minutes})
        WHERE grant_id = ${grant.id} AND serial = ${long.serial}`
      yield* sql`UPDATE federation_certificates SET revoked_at_ca = now() WHERE serial = ${short.serial}`
      yield* age(58)
      assert.strictEqual((yield* issue(grant, csr, "2 hours")).serial, long.serial)
      yield* age(3)
      const next = yield* issue(grant, csr, "2 hours")
      assert.notStrictEqual(next.serial, long.serial)

      // A revocation counts from the moment it is asked for, whether or not the CA has heard of it.
      yield* sql`
        INSERT INTO federation_tasks (kind, subject, payload)
        VALUES ('revoke-at-ca', ${next.serial}, ${JSON.stringify({ serial: next.serial, reason: "key lost" })}::jsonb)`
      const afterwards = yield* issue(grant, csr, "2 hours")
      assert.notStrictEqual(afterwards.serial, next.serial)
      const { revoke } = yield* GrantRepo
      yield* revoke(grant.id, "over")
      assert.strictEqual((yield* Effect.flip(issue(grant, csr, "2 hours")))._tag, "GrantRevoked")
    })
  )

  it.effect("asks the CA once for those who ask at once", () =>
    Effect.gen(function* () {
      const grant = yield* makeGrant
      const csr = yield* makeCsr("P-256")
      const before = yield* signed
      const all = yield* Effect.all(
        Array.from({ length: 12 }, () => issue(grant, csr)),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(new Set(all.map(({ serial }) => serial)), 1)
      assert.deepStrictEqual(yield* statesOf(grant), ["issued"])
      assert.strictEqual((yield* signed) - before, 1)
    })
  )

  it.effect("waits for another program's outcome, and says so where that does not come", () =>
    Effect.gen(function* () {
      const grants = yield* GrantRepo
      const grant = yield* makeGrant
      const csr = yield* makeCsr("P-256")
      const serial = yield* intentOf(grant, csr)
      const keeping = yield* Effect.forkChild(
        Effect.forever(Effect.andThen(grants.keepIntents([serial]), Effect.sleep("1 second")))
      )
      const error = yield* Effect.flip(issue(grant, csr))
      yield* Effect.sync(() => keeping.interruptUnsafe())
      assert.strictEqual(error.code, "ISSUANCE_IN_PROGRESS")
      assert.strictEqual(
        error.message,
        `another request is asking for a certificate of grant ${grant.id} for this CSR, with serial ${serial}`
      )
      assert.strictEqual(
        error.remediation,
        "ask again with the same CSR: the answer is the other request's certificate"
      )
      assert.deepStrictEqual(yield* statesOf(grant), ["intent"])
    })
  )

  it.effect("settles the intent of a program that has died, and goes on", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const grant = yield* makeGrant
      const csr = yield* makeCsr("P-256")
      const dead = yield* intentOf(grant, csr)
      yield* sql`UPDATE federation_certificates SET held_until = now() WHERE serial = ${dead}`
      yield* issue(grant, csr)
      const { certificates } = yield* GrantRepo
      const [issued, settled] = yield* certificates({ grantId: grant.id })
      assert.strictEqual(issued?.state, "issued")
      assert.deepStrictEqual(
        [settled?.serial, settled?.state, settled?.errorCode],
        [dead, "ambiguous", "INTERRUPTED"]
      )
      const open = yield* sql`SELECT subject FROM federation_tasks WHERE subject = ${dead} AND state = 'open'`
      assert.lengthOf(open, 1)
    })
  )

  it.effect("has in the intent the token, who asked and by which request", () =>
    Effect.gen(function* () {
      const grant = yield* makeGrant
      const { serial } = yield* issue(grant, yield* makeCsr("P-256"))
      const { certificates } = yield* GrantRepo
      const [record] = yield* certificates({ serial })
      assert.strictEqual(record?.requester, "cli")
      assert.match(record?.requestId ?? "", /^[0-9a-f-]{36}$/)
      const { log } = yield* StepCaProcess
      const line = (yield* log).split("\n").find((text) => text.includes(`serial=${serial}`)) ?? ""
      const ott = /ott=([\w.-]+)/.exec(line)?.[1]?.split(".")[1] ?? ""
      const { jti } = JSON.parse(Buffer.from(ott, "base64url").toString("utf8")) as { readonly jti: string }
      assert.strictEqual(jti, record?.jti)
    })
  )
})
