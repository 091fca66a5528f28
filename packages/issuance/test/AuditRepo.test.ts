/** The audit record against a real PostgreSQL: every decision is in it, every record is sealed once, and what is changed is found. */
import { randomBytes, randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import { ApiKeyId } from "@mosaic-federation/domain/ApiKey"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { GrantSuspended } from "@mosaic-federation/domain/GrantErrors"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { UserId } from "@mosaic-federation/domain/UserId"
import { DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { ApiKeyRepo } from "../src/ApiKeyRepo.ts"
import { AuditRepo } from "../src/AuditRepo.ts"
import { CertificateLedger } from "../src/CertificateLedger.ts"
import * as CertificateOrigin from "../src/CertificateOrigin.ts"
import { CurrentOrigin } from "../src/CurrentOrigin.ts"
import { EnrollmentTokenRepo } from "../src/EnrollmentTokenRepo.ts"
import { GrantChanges } from "../src/GrantChanges.ts"
import { GrantRepo } from "../src/GrantRepo.ts"
import { randomSerial } from "../src/randomSerial.ts"
import { randomJti } from "../src/TokenSigner.ts"
import { databaseOfItsOwn } from "./support/databaseOfItsOwn.ts"

const TestLayer = Layer.mergeAll(
  CertificateOrigin.layer.pipe(Layer.provide(GrantRepo.layerNoDeps)),
  ApiKeyRepo.layerNoDeps,
  AuditRepo.layerNoDeps,
  CertificateLedger.layerNoDeps,
  EnrollmentTokenRepo.layerNoDeps,
  GrantChanges.layerNoDeps
).pipe(Layer.provideMerge(databaseOfItsOwn))

const after = (millis: number) => DateTime.makeUnsafe(Date.now() + millis)
const hour = 3_600_000

const makeGrant = GrantRepo.use((grants) =>
  grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make(`peer-${randomUUID()}.example`),
      scopes: ["files:read"],
      expiresAt: after(hour)
    })
  )
)

type TestGrant = Effect.Success<typeof makeGrant>

const intend = Effect.fnUntraced(function* (grant: TestGrant) {
  const grants = yield* GrantRepo
  const serial = randomSerial()
  yield* grants.recordIntent({
    serial,
    grantId: grant.id,
    subjectUserId: grant.subjectUserId,
    csrSha256: randomBytes(32).toString("hex"),
    jti: randomJti(),
    requester: "cli",
    requestId: "req-1",
    requestedAt: after(0),
    notAfter: after(hour / 2)
  })
  return serial
})

const issue = Effect.fnUntraced(function* (grant: TestGrant) {
  const grants = yield* GrantRepo
  const serial = yield* intend(grant)
  const pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
  const certificate = { certificate: pem, chain: [pem], serial }
  yield* grants.recordIssued(
    new IssuedCert({ ...certificate, notBefore: after(-60_000), notAfter: after(hour / 4) }),
    randomBytes(32).toString("hex")
  )
  return serial
})

/** Until nothing waits; whoever else seals meanwhile. */
const sealAll: Effect.Effect<void, unknown, AuditRepo> = Effect.gen(function* () {
  const audit = yield* AuditRepo
  yield* audit.seal
  if ((yield* audit.state).unsealed > 0) yield* sealAll
})

const told = Effect.fnUntraced(function* (grantId: GrantId) {
  yield* sealAll
  const entries = yield* AuditRepo.use((audit) => audit.tail({ grantId, limit: 100 }))
  return entries.map(({ action, errorCode, outcome, serial, subject }) => ({
    action,
    outcome,
    serial,
    subject,
    errorCode
  }))
})

const event = (action: string, outcome: string, more: object = {}) => ({
  action,
  outcome,
  serial: null,
  subject: null,
  errorCode: null,
  ...more
})

layer(TestLayer, { timeout: "60 seconds", excludeTestServices: true })("AuditRepo", (it) => {
  it.effect("has what became of a grant and of its certificates, and who decided it", () =>
    Effect.gen(function* () {
      const { grants, changes, ledger } = {
        grants: yield* GrantRepo,
        changes: yield* GrantChanges,
        ledger: yield* CertificateLedger
      }
      const request = { requester: "api-key:7f3a9c0e1b5d2846", requestId: "req-audit-1" }
      const grant = yield* Effect.provideService(makeGrant, CurrentRequest, request)
      yield* changes.suspend(grant.id)
      yield* changes.suspend(grant.id)
      yield* changes.resume(grant.id)
      const issued = yield* issue(grant)
      const refused = yield* intend(grant)
      yield* grants.recordOutcome({
        serial: refused,
        state: "refused",
        errorCode: "CA_FORBIDDEN",
        revokedAtCa: false
      })
      const lost = yield* intend(grant)
      yield* grants.recordOutcome({
        serial: lost,
        state: "ambiguous",
        errorCode: "CA_TIMEOUT",
        revokedAtCa: false
      })
      yield* grants.recordOutcome({
        serial: lost,
        state: "ambiguous",
        errorCode: "CA_TIMEOUT",
        revokedAtCa: true
      })
      yield* ledger.revoke(issued, "lost key")
      yield* grants.revoke(grant.id, "over")
      yield* grants.revoke(grant.id, "over again")
      yield* Effect.flip(changes.resume(grant.id))
      assert.deepStrictEqual(yield* told(grant.id), [
        event("grant.create", "done"),
        event("grant.suspend", "done"),
        event("grant.suspend", "unchanged"),
        event("grant.resume", "done"),
        event("certificate.issue", "intent", { serial: issued }),
        event("certificate.issue", "issued", { serial: issued }),
        event("certificate.issue", "intent", { serial: refused }),
        event("certificate.issue", "refused", { serial: refused, errorCode: "CA_FORBIDDEN" }),
        event("certificate.issue", "intent", { serial: lost }),
        event("certificate.issue", "ambiguous", { serial: lost, errorCode: "CA_TIMEOUT" }),
        event("certificate.revoke-at-ca", "confirmed", { serial: lost }),
        event("certificate.revoke", "done", { serial: issued }),
        event("grant.revoke", "done"),
        event("grant.revoke", "unchanged"),
        event("grant.resume", "refused", { errorCode: "GRANT_REVOKED" })
      ])
      const [created] = yield* AuditRepo.use((audit) => audit.tail({ grantId: grant.id, limit: 100 }))
      assert.deepInclude(created, request)
      assert.match(created?.at ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    })
  )

  it.effect("has a certificate that was withheld because its grant ended, under its renewal", () =>
    Effect.gen(function* () {
      const grants = yield* GrantRepo
      const changes = yield* GrantChanges
      const grant = yield* makeGrant
      const first = yield* issue(grant)
      const serial = yield* Effect.provideService(intend(grant), CurrentOrigin, {
        _tag: "Renewal",
        renewedSerial: first,
        newest: null
      })
      const holder = { _tag: "Peer", peer: grant.peer } as const
      yield* changes.revokeHolder(holder, "only to look", true)
      yield* changes.revokeHolder(holder, "the peer is gone", false)
      const pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
      const result = yield* grants.recordIssued(
        new IssuedCert({
          certificate: pem,
          chain: [],
          serial,
          notBefore: after(-1000),
          notAfter: after(hour / 4)
        }),
        randomBytes(32).toString("hex")
      )
      assert.deepStrictEqual(result, { _tag: "GrantEnded", status: "revoked" })
      assert.deepStrictEqual((yield* told(grant.id)).slice(3), [
        event("certificate.renew", "intent", { serial, subject: first }),
        event("grant.revoke", "done"),
        event("certificate.issue", "withheld", { serial, errorCode: "GRANT_ENDED_IN_FLIGHT" })
      ])
      const all = yield* AuditRepo.use((audit) => audit.tail({ limit: 1000 }))
      const [ended, ...more] = all.filter(({ subject }) => subject === `peer ${grant.peer}`)
      assert.deepInclude(ended, {
        action: "holder.revoke",
        outcome: "done",
        detail: "1 grants: the peer is gone"
      })
      assert.deepStrictEqual(more, [])
    })
  )

  it.effect("has tokens and keys by their ids, and neither a secret nor its hash", () =>
    Effect.gen(function* () {
      const tokens = yield* EnrollmentTokenRepo
      const keys = yield* ApiKeyRepo
      const grant = yield* makeGrant
      const hash = randomBytes(32).toString("hex")
      const newToken = (id: EnrollmentTokenId) => ({
        id,
        grantId: grant.id,
        tokenSha256: randomBytes(32).toString("hex"),
        keySha256: null,
        createdBy: "cli",
        createdAt: after(0),
        expiresAt: after(hour)
      })
      const [used, revoked] = [randomUUID(), randomUUID()].map((id) => EnrollmentTokenId.make(id))
      assert.isDefined(used)
      assert.isDefined(revoked)
      yield* tokens.create({ ...newToken(used), tokenSha256: hash })
      yield* tokens.create(newToken(revoked))
      yield* tokens.revoke(revoked)
      const origin = { _tag: "Enrollment", tokenId: used, from: "198.51.100.7", requestId: "req-1" } as const
      const serial = yield* Effect.provideService(issue(grant), CurrentOrigin, origin)
      assert.deepStrictEqual((yield* told(grant.id)).slice(1), [
        event("token.create", "done", { subject: used }),
        event("token.create", "done", { subject: revoked }),
        event("token.revoke", "done", { subject: revoked }),
        event("certificate.enroll", "intent", { serial, subject: used }),
        event("certificate.enroll", "issued", { serial, subject: used }),
        event("token.redeem", "done", { serial, subject: used })
      ])
      const [id, next] = [randomBytes(8), randomBytes(8)].map((bytes) => ApiKeyId.make(bytes.toString("hex")))
      assert.isDefined(id)
      assert.isDefined(next)
      const keySha256 = randomBytes(32).toString("hex")
      yield* keys.create({
        id,
        name: "alice",
        scope: "admin",
        keySha256,
        createdAt: after(0),
        expiresAt: null
      })
      const successor = { id: next, keySha256: randomBytes(32).toString("hex"), createdAt: after(0) }
      yield* keys.rotate(id, successor, after(hour))
      yield* keys.revoke(next)
      yield* sealAll
      const entries = yield* AuditRepo.use((audit) => audit.tail({ limit: 1000 }))
      assert.deepStrictEqual(
        entries
          .filter(({ subject }) => subject === id || subject === next)
          .map(({ action, subject }) => [action, subject]),
        [
          ["api-key.create", id],
          ["api-key.rotate", next],
          ["api-key.revoke", next]
        ]
      )
      const text = JSON.stringify(entries)
      for (const secret of [hash, keySha256, successor.keySha256]) assert.notInclude(text, secret)
    })
  )

  it.effect("a change that is rolled back leaves no record, and a refusal stands without one", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const audit = yield* AuditRepo
      yield* sealAll
      const before = (yield* audit.state).head
      yield* Effect.exit(sql.withTransaction(Effect.andThen(makeGrant, Effect.die("rolled back"))))
      yield* sealAll
      assert.deepStrictEqual((yield* audit.state).head, before)
      const grant = yield* makeGrant
      const error = new GrantSuspended({ grantId: grant.id })
      const unwritable = { action: "certificate.issue", grantId: "no uuid" } as const
      assert.strictEqual(yield* Effect.flip(audit.refusing(unwritable, Effect.fail(error))), error)
    })
  )

  it.effect("seals every record once, whatever the order of commits, with four sealers at once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const audit = yield* AuditRepo
      yield* sealAll
      const { head } = yield* audit.state
      const writers = 40
      const each = 25
      const at = { work: writers }
      // A transaction that has its number early and commits last.
      const late = sql.withTransaction(
        Effect.gen(function* () {
          const grant = yield* makeGrant
          while (at.work > 0) yield* Effect.sleep("5 millis")
          yield* sealAllVisible
          return grant
        })
      )
      const sealAllVisible = Effect.gen(function* () {
        while ((yield* audit.seal).sealed > 0) yield* Effect.yieldNow
      })
      const writer = Effect.gen(function* () {
        for (let n = 0; n < each; n++) yield* makeGrant
      }).pipe(Effect.ensuring(Effect.sync(() => void (at.work -= 1))))
      const sealer = Effect.gen(function* () {
        while (at.work > 0) yield* audit.seal
      })
      yield* Effect.all(
        [late, ...Array.from({ length: writers }, () => writer), ...Array.from({ length: 4 }, () => sealer)],
        {
          concurrency: "unbounded"
        }
      )
      yield* sealAll
      const count = writers * each + 1
      const entries = [
        ...(yield* audit.entries({ after: head.height, limit: 1000 })),
        ...(yield* audit.entries({ after: head.height + 1000, limit: 1000 }))
      ]
      assert.lengthOf(entries, count)
      assert.deepStrictEqual(
        entries.map(({ height }) => height),
        Array.from({ length: count }, (_, index) => head.height + 1 + index)
      )
      assert.lengthOf(new Set(entries.map(({ record }) => record)), count)
      assert.isFalse(
        entries.every(({ record }, index) => index === 0 || record > (entries[index - 1]?.record ?? 0))
      )
    })
  )
})
