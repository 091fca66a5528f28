/** What is committed with a renewal's intent and with its certificate, against a real PostgreSQL. */
import { randomBytes, randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { UserId } from "@mosaic-federation/domain/UserId"
import { DateTime, Effect, Layer } from "effect"
import { CertificateLedger } from "../src/CertificateLedger.ts"
import * as CertificateOrigin from "../src/CertificateOrigin.ts"
import { CurrentOrigin } from "../src/CurrentOrigin.ts"
import { GrantRepo } from "../src/GrantRepo.ts"
import { randomSerial } from "../src/randomSerial.ts"
import { randomJti } from "../src/TokenSigner.ts"
import { databaseOfItsOwn } from "./support/databaseOfItsOwn.ts"

const TestLayer = Layer.mergeAll(
  CertificateOrigin.layer.pipe(Layer.provide(GrantRepo.layerNoDeps)),
  CertificateLedger.layerNoDeps
).pipe(Layer.provideMerge(databaseOfItsOwn))

const inMinutes = (minutes: number) => DateTime.makeUnsafe(Date.now() + minutes * 60_000)

/** A grant, and what is asked for under it. */
const granted = Effect.gen(function* () {
  const grants = yield* GrantRepo
  const { id, subjectUserId } = yield* grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("peer.example"),
      scopes: [],
      expiresAt: inMinutes(60)
    })
  )
  const intend = Effect.fnUntraced(function* (csrSha256 = randomBytes(32).toString("hex")) {
    const serial = randomSerial()
    const asked = { grantId: id, subjectUserId, csrSha256, jti: randomJti() }
    yield* grants.recordIntent({
      ...asked,
      serial,
      requester: "peer",
      requestId: randomUUID(),
      requestedAt: inMinutes(0),
      notAfter: inMinutes(30)
    })
    return serial
  })
  const settle = (serial: SerialNumber) => {
    const pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
    const times = { notBefore: inMinutes(-1), notAfter: inMinutes(15) }
    const issued = new IssuedCert({ certificate: pem, chain: [pem], serial, ...times })
    return grants.recordIssued(issued, randomBytes(32).toString("hex"))
  }
  const first = yield* intend()
  yield* settle(first)
  const renewing = (newest: SerialNumber | null) =>
    Effect.provideService(CurrentOrigin, { _tag: "Renewal" as const, renewedSerial: first, newest })
  return { id, grants, first, intend, settle, renewing }
})

const revoke = (serial: SerialNumber) =>
  CertificateLedger.use((ledger) => ledger.revoke(serial, "the key was copied"))

layer(TestLayer, { timeout: "60 seconds", excludeTestServices: true })("CertificateOrigin", (it) => {
  it.effect(
    "records one renewal of those that were allowed at once, and leaves no intent of the others",
    () =>
      Effect.gen(function* () {
        const { first, grants, id, intend, renewing } = yield* granted
        const answers = yield* Effect.forEach(
          Array.from({ length: 5 }, () => intend()),
          (one) =>
            Effect.match(renewing(null)(one), { onSuccess: String, onFailure: ({ message }) => message }),
          { concurrency: "unbounded" }
        )
        const refusal = `record a renewal: certificate ${first} was renewed or revoked meanwhile`
        const recorded = answers.filter((answer) => answer !== refusal)
        assert.strictEqual(recorded.length, 1)
        assert.deepStrictEqual(
          new Set((yield* grants.certificates({ grantId: id })).map(({ serial }) => serial as string)),
          new Set([first, ...recorded])
        )
        const second = (yield* grants.certificates({ grantId: id })).find(({ serial }) => serial !== first)
        yield* renewing(second?.serial ?? null)(intend())
      })
  )

  it.effect("records no renewal of a certificate whose revocation is committed", () =>
    Effect.gen(function* () {
      const { first, intend, renewing } = yield* granted
      yield* revoke(first)
      const error = yield* Effect.flip(renewing(null)(intend()))
      assert.strictEqual(error.code, "STORAGE_FAILED")
      assert.isTrue(CertificateOrigin.isOvertakenRenewal(error))
    })
  )

  it.effect("hands out no certificate in place of one that was revoked while the CA signed", () =>
    Effect.gen(function* () {
      const { first, grants, intend, renewing, settle } = yield* granted
      const serial = yield* renewing(null)(intend())
      yield* revoke(first)
      assert.deepStrictEqual(yield* renewing(null)(settle(serial)), {
        _tag: "Overtaken",
        problem: `certificate ${first} was revoked during its renewal`
      })
      const [record] = yield* grants.certificates({ serial })
      assert.deepStrictEqual([record?.state, record?.fullChainPem], ["intent", null])
    })
  )
})
