import { randomBytes, randomUUID } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { type GrantStatus, NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { UserId } from "@mosaic-federation/domain/UserId"
import { DateTime, Deferred, Effect, Exit, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { GrantChanges } from "../src/GrantChanges.ts"
import { GrantRepo, type IssuanceOutcome } from "../src/GrantRepo.ts"
import { databaseOfItsOwn } from "./support/databaseOfItsOwn.ts"

const TestLayer = Layer.mergeAll(GrantRepo.layerNoDeps, GrantChanges.layerNoDeps).pipe(
  Layer.provideMerge(databaseOfItsOwn)
)

const after = (millis: number) => DateTime.makeUnsafe(Date.now() + millis)

const hour = 3_600_000

const newGrant = (changes: Partial<NewGrant> = {}) =>
  new NewGrant({
    subjectUserId: UserId.make(randomUUID()),
    peer: PeerName.make("peer.example"),
    scopes: ["files:read", "chat"],
    expiresAt: after(hour),
    ...changes
  })

const newSerial = () =>
  SerialNumber.make((10n ** 30n + BigInt(`0x${randomBytes(8).toString("hex")}`)).toString())

const fingerprint = () => randomBytes(32).toString("hex")

const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`

const certificate = (serial: SerialNumber, notAfter = after(hour / 2)) =>
  new IssuedCert({
    certificate: pem("bGVhZg=="),
    chain: [pem("aXNzdWVy")],
    serial,
    notBefore: after(-60_000),
    notAfter
  })

/** A grant with an intent that allows a certificate for half an hour. */
const asked = Effect.gen(function* () {
  const repo = yield* GrantRepo
  const grant = yield* repo.create(newGrant())
  const serial = newSerial()
  const intent = {
    serial,
    grantId: grant.id,
    subjectUserId: grant.subjectUserId,
    csrSha256: fingerprint(),
    jti: "A".repeat(43),
    requester: "cli",
    requestId: "req-1",
    requestedAt: after(0),
    notAfter: after(hour / 2 + 1000)
  }
  yield* repo.recordIntent(intent)
  return { repo, grant, serial, intent }
})

const recordOf = (serial: SerialNumber) =>
  Effect.gen(function* () {
    const repo = yield* GrantRepo
    const [record] = yield* repo.certificates({ serial })
    return record
  })

/** Until a session of the database waits for a row that another one has locked. */
const somebodyWaits = Effect.gen(function* () {
  const sql = yield* SqlClient
  while ((yield* sql`SELECT 1 FROM pg_locks WHERE NOT granted AND locktype <> 'advisory'`).length === 0) {
    yield* Effect.yieldNow
  }
})

/** Does it in a transaction that stays open. What comes back commits it, and tells what came of it. */
const heldOpen = Effect.fnUntraced(function* <A, E, R>(change: Effect.Effect<A, E, R>) {
  const sql = yield* SqlClient
  const done = yield* Deferred.make<void>()
  const commit = yield* Deferred.make<void>()
  const changing = yield* sql
    .withTransaction(
      change.pipe(
        Effect.tap(() => Deferred.succeed(done, undefined)),
        Effect.tap(() => Deferred.await(commit))
      )
    )
    .pipe(Effect.forkChild)
  yield* Deferred.await(done)
  return Effect.andThen(Deferred.succeed(commit, undefined), Fiber.join(changing))
})

const refusedBy = (constraint: string) =>
  new RegExp(`violates [a-z ]+ constraint "${constraint}" \\(SQLSTATE 235(?:05|14|03)\\)$`)

describe("GrantRepo", () => {
  layer(TestLayer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("finds what it created, to the millisecond", () =>
      Effect.gen(function* () {
        const repo = yield* GrantRepo
        const asGiven = newGrant({ id: GrantId.make(randomUUID()), scopes: [] })
        const grant = yield* repo.create(asGiven)
        assert.deepStrictEqual(yield* repo.find(grant.id), grant)
        assert.strictEqual(grant.id, asGiven.id)
        assert.deepStrictEqual(
          [
            grant.subjectUserId,
            grant.peer,
            grant.scopes,
            grant.storedStatus,
            grant.revokedAt,
            grant.revocationReason
          ],
          [asGiven.subjectUserId, asGiven.peer, [], "active", null, null]
        )
        assert.isTrue(DateTime.Equivalence(grant.expiresAt, asGiven.expiresAt))
        assert.notStrictEqual((yield* repo.create(newGrant())).id, (yield* repo.create(newGrant())).id)
      })
    )

    it.effect("says that there is no such grant", () =>
      Effect.gen(function* () {
        const repo = yield* GrantRepo
        const id = GrantId.make("00000000-0000-4000-8000-000000000000")
        for (const error of [
          yield* Effect.flip(repo.find(id)),
          yield* Effect.flip(repo.revoke(id, "gone"))
        ]) {
          assert.strictEqual(error.code, "GRANT_NOT_FOUND")
          assert.strictEqual(error.message, `no grant ${id}`)
          assert.strictEqual(error.remediation, "list the grants there are: mosaic federation grant list")
        }
      })
    )

    it.effect("uses no id twice, not even after a revocation", () =>
      Effect.gen(function* () {
        const repo = yield* GrantRepo
        const { id } = yield* repo.create(newGrant())
        yield* repo.revoke(id, "over")
        const error = yield* Effect.flip(repo.create(newGrant({ id })))
        assert.strictEqual(error.code, "GRANT_ALREADY_EXISTS")
        assert.strictEqual(error.message, `grant ${id} exists already`)
        assert.strictEqual(
          error.remediation,
          `leave the id out to get a fresh one, or look at it: mosaic federation grant show ${id}`
        )
        assert.strictEqual((yield* repo.find(id)).storedStatus, "revoked")
      })
    )

    it.effect("lists by peer, subject and the status that the clock makes, newest first, page by page", () =>
      Effect.gen(function* () {
        const repo = yield* GrantRepo
        const sql = yield* SqlClient
        const peer = PeerName.make(`peer-${randomUUID()}`)
        const subjectUserId = UserId.make(randomUUID())
        const active = yield* repo.create(newGrant({ peer, subjectUserId }))
        const expired = yield* repo.create(newGrant({ peer, expiresAt: after(-1) }))
        const revoked = yield* repo.create(newGrant({ peer, expiresAt: after(-1) }))
        yield* repo.revoke(revoked.id, "over")
        const suspended = yield* repo.create(newGrant({ peer }))
        yield* sql`UPDATE federation_grants SET status = 'suspended' WHERE id = ${suspended.id}`
        const idsOf = Effect.fnUntraced(function* (filter: Parameters<typeof repo.list>[0]) {
          return (yield* repo.list(filter)).map(({ id }) => id)
        })
        const byStatus = { active, expired, revoked, suspended }
        for (const [status, grant] of Object.entries(byStatus)) {
          assert.deepStrictEqual(yield* idsOf({ peer, status: status as GrantStatus }), [grant.id], status)
        }
        assert.deepStrictEqual(yield* idsOf({ subjectUserId }), [active.id])
        assert.deepStrictEqual(yield* idsOf({ peer, subjectUserId: UserId.make(randomUUID()) }), [])

        // All of one instant, so the order within it must be total as well.
        yield* sql`UPDATE federation_grants SET created_at = now() WHERE peer = ${peer} AND status <> 'revoked'`
        const all = yield* idsOf({ peer })
        assert.strictEqual(all.length, 4)
        const pages: Array<GrantId> = []
        let page = yield* repo.list({ peer, limit: 1 })
        while (page[0] !== undefined) {
          pages.push(page[0].id)
          page = yield* repo.list({ peer, limit: 1, before: page[0].id })
        }
        assert.deepStrictEqual(pages, all)
      })
    )

    it.effect("revokes once, and tells what lives on", () =>
      Effect.gen(function* () {
        const { grant, repo, serial } = yield* asked
        const issued = certificate(serial)
        assert.deepStrictEqual(yield* repo.recordIssued(issued, fingerprint()), { _tag: "Recorded" })
        const first = yield* repo.revoke(grant.id, "left the company")
        assert.deepStrictEqual(
          [
            first.alreadyRevoked,
            first.liveCertificates,
            first.grant.storedStatus,
            first.grant.revocationReason
          ],
          [false, 1, "revoked", "left the company"]
        )
        assert.deepStrictEqual(first.lastNotAfter, issued.notAfter)
        const second = yield* repo.revoke(grant.id, "another reason")
        assert.deepStrictEqual(second, { ...first, alreadyRevoked: true })
        assert.deepStrictEqual(yield* repo.find(grant.id), first.grant)
      })
    )

    it.effect("keeps the whole certificate of an intent", () =>
      Effect.gen(function* () {
        const { intent, repo, serial } = yield* asked
        const open = yield* recordOf(serial)
        assert.deepStrictEqual(open, {
          ...intent,
          state: "intent",
          notBefore: null,
          fingerprintSha256: null,
          fullChainPem: null,
          errorCode: null,
          revokedAtCa: null,
          revocationOpenSince: null
        })
        const issued = certificate(serial)
        const fingerprintSha256 = fingerprint()
        yield* repo.recordIssued(issued, fingerprintSha256)
        assert.deepStrictEqual(yield* recordOf(serial), {
          ...intent,
          state: "issued",
          notBefore: issued.notBefore,
          notAfter: issued.notAfter,
          fingerprintSha256,
          fullChainPem: issued.fullChainPem,
          errorCode: null,
          revokedAtCa: null,
          revocationOpenSince: null
        })
        assert.deepStrictEqual(
          (yield* repo.certificates({ grantId: intent.grantId })).map((one) => one.serial),
          [serial]
        )
      })
    )

    it.effect("refuses a serial that was used before", () =>
      Effect.gen(function* () {
        const { intent, repo } = yield* asked
        const error = yield* Effect.flip(repo.recordIntent({ ...intent, csrSha256: fingerprint() }))
        assert.strictEqual(error.code, "STORAGE_FAILED")
        assert.strictEqual(
          error.message,
          'record the intent to issue: duplicate key value violates unique constraint "federation_certificates_pkey" (SQLSTATE 23505)'
        )
        assert.strictEqual(
          error.remediation,
          "look at the database's log and free space (df -h); the embedded one logs to postgres.log under MOSAIC_HOME"
        )
      })
    )

    it.effect("records no certificate without an intent, twice, or longer than its intent or grant", () =>
      Effect.gen(function* () {
        const { repo, serial } = yield* asked
        const unknown = newSerial()
        const missing = yield* Effect.flip(repo.recordIssued(certificate(unknown), fingerprint()))
        assert.strictEqual(missing.code, "STORAGE_FAILED")
        assert.include(missing.message, `record the certificate: serial ${unknown} has no open intent`)
        const long = yield* Effect.flip(
          repo.recordIssued(certificate(serial, after(hour * 3)), fingerprint())
        )
        assert.include(long.message, `serial ${serial} has no open intent that allows a certificate until`)
        const print = fingerprint()
        yield* repo.recordIssued(certificate(serial), print)
        const twice = yield* Effect.flip(repo.recordIssued(certificate(serial), fingerprint()))
        assert.include(twice.message, "has no open intent")
        const other = yield* asked
        const same = yield* Effect.flip(repo.recordIssued(certificate(other.serial), print))
        assert.match(same.message, refusedBy("federation_certificates_fingerprint_sha256_key"))
        assert.strictEqual((yield* recordOf(other.serial))?.state, "intent")
      })
    )

    it.effect("withholds the certificate of a grant that ended in the meantime", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient
        for (const status of ["revoked", "suspended", "expired"] as const) {
          const { grant, repo, serial } = yield* asked
          if (status === "revoked") yield* repo.revoke(grant.id, "over")
          if (status === "suspended")
            yield* sql`UPDATE federation_grants SET status = 'suspended' WHERE id = ${grant.id}`
          if (status === "expired")
            yield* sql`UPDATE federation_grants SET expires_at = now() WHERE id = ${grant.id}`
          const issued = certificate(serial, status === "expired" ? after(-1000) : after(hour / 2))
          if (status === "expired") {
            yield* sql`UPDATE federation_certificates SET requested_at = requested_at - interval '1 hour' WHERE serial = ${serial}`
          }
          assert.deepStrictEqual(yield* repo.recordIssued(issued, fingerprint()), {
            _tag: "GrantEnded",
            status
          })
          const record = yield* recordOf(serial)
          assert.deepStrictEqual(
            [
              record?.state,
              record?.errorCode,
              record?.fingerprintSha256,
              record?.fullChainPem,
              record?.notBefore
            ],
            ["withheld", "GRANT_ENDED_IN_FLIGHT", null, null, null]
          )
        }
      })
    )

    it.effect("tells of a grant whose end was moved, and of an intent that was given up", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient
        const { grant, repo, serial } = yield* asked
        const end = after(hour / 4)
        yield* sql`UPDATE federation_grants SET expires_at = ${DateTime.toDateUtc(end)} WHERE id = ${grant.id}`
        assert.deepStrictEqual(yield* repo.recordIssued(certificate(serial), fingerprint()), {
          _tag: "Overtaken",
          problem: `the grant's end was moved to ${DateTime.formatIso(end)} meanwhile`
        })
        assert.strictEqual((yield* recordOf(serial))?.state, "intent")

        yield* repo.recordOutcome({
          serial,
          state: "ambiguous",
          errorCode: "INTERRUPTED",
          revokedAtCa: false
        })
        assert.deepStrictEqual(yield* repo.recordIssued(certificate(serial, end), fingerprint()), {
          _tag: "Overtaken",
          problem: "it took so long that another program gave it up meanwhile"
        })
        assert.strictEqual((yield* recordOf(serial))?.state, "ambiguous")
      })
    )

    it.effect("lets a revocation that is being committed win over an issuance in flight", () =>
      Effect.gen(function* () {
        const { grant, repo, serial } = yield* asked
        const commit = yield* heldOpen(repo.revoke(grant.id, "over"))
        const issuing = yield* Effect.forkChild(repo.recordIssued(certificate(serial), fingerprint()))
        yield* somebodyWaits
        // Nobody else sees the revocation yet, and still the issuance must not pass it.
        assert.strictEqual((yield* repo.find(grant.id)).storedStatus, "active")
        yield* commit
        assert.deepStrictEqual(yield* Fiber.join(issuing), { _tag: "GrantEnded", status: "revoked" })
        assert.strictEqual((yield* recordOf(serial))?.state, "withheld")
      })
    )

    it.effect("counts a certificate that is being recorded while the grant is revoked", () =>
      Effect.gen(function* () {
        const { grant, repo, serial } = yield* asked
        const commit = yield* heldOpen(repo.recordIssued(certificate(serial), fingerprint()))
        const revoking = yield* Effect.forkChild(repo.revoke(grant.id, "over"))
        yield* somebodyWaits
        assert.deepStrictEqual(yield* commit, { _tag: "Recorded" })
        assert.strictEqual((yield* Fiber.join(revoking)).liveCertificates, 1)
      })
    )

    it.effect("lets issuances of one grant pass each other", () =>
      Effect.gen(function* () {
        const { intent, repo, serial } = yield* asked
        const other = newSerial()
        yield* repo.recordIntent({ ...intent, serial: other, csrSha256: fingerprint() })
        const commit = yield* heldOpen(repo.recordIssued(certificate(serial), fingerprint()))
        assert.deepStrictEqual(yield* repo.recordIssued(certificate(other), fingerprint()), {
          _tag: "Recorded"
        })
        assert.deepStrictEqual(yield* commit, { _tag: "Recorded" })
      })
    )

    it.effect(
      "records an intent while its grant is being changed, and no certificate before that is done",
      () =>
        Effect.gen(function* () {
          const { grant, intent, repo } = yield* asked
          const changes = yield* GrantChanges
          const commit = yield* heldOpen(changes.suspend(grant.id))
          const serial = newSerial()
          const begun = yield* repo.recordIntent({ ...intent, serial, csrSha256: fingerprint() })
          assert.deepStrictEqual(begun, { _tag: "Recorded" })
          const recording = yield* Effect.forkChild(repo.recordIssued(certificate(serial), fingerprint()))
          yield* somebodyWaits
          yield* commit
          assert.deepStrictEqual(yield* Fiber.join(recording), { _tag: "GrantEnded", status: "suspended" })
          assert.strictEqual((yield* recordOf(serial))?.state, "withheld")
        })
    )

    it.effect("records what comes at once, each by its own grant and intent", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient
        const all = yield* Effect.all(Array.from({ length: 6 }, () => asked))
        const [first, second, third, fourth] = all
        if (first === undefined || second === undefined || third === undefined || fourth === undefined) {
          return assert.fail()
        }
        const { repo } = first
        const csrs = Array.from({ length: 6 }, fingerprint)
        const intents = all.map(({ intent }, index) => ({
          ...intent,
          // One has a serial that was used before, and one a grant that has ended.
          serial: index === 1 ? intent.serial : newSerial(),
          csrSha256: csrs[index] ?? assert.fail()
        }))
        yield* repo.revoke(third.grant.id, "over")
        const began = yield* Effect.forEach(intents, (intent) => Effect.exit(repo.recordIntent(intent)), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          began.map((exit) => (Exit.isSuccess(exit) ? exit.value._tag : "refused")),
          ["Recorded", "refused", "NotGranted", "Recorded", "Recorded", "Recorded"]
        )
        const refusal = yield* Effect.flip(began[1] ?? assert.fail())
        assert.include(
          refusal.message,
          'duplicate key value violates unique constraint "federation_certificates_pkey"'
        )

        yield* sql`UPDATE federation_grants SET status = 'suspended' WHERE id = ${fourth.grant.id}`
        const certificates = all.map(({ serial }, index) =>
          // One would outlive its intent.
          certificate(serial, index === 4 ? after(hour) : after(hour / 2))
        )
        const ended = yield* Effect.forEach(
          certificates,
          (one) =>
            Effect.match(repo.recordIssued(one, fingerprint()), {
              onSuccess: (r) => r,
              onFailure: (e) => e.code
            }),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(ended, [
          { _tag: "Recorded" },
          { _tag: "Recorded" },
          { _tag: "GrantEnded", status: "revoked" },
          { _tag: "GrantEnded", status: "suspended" },
          "STORAGE_FAILED",
          { _tag: "Recorded" }
        ])
        const states = yield* Effect.forEach(all, ({ serial }) => recordOf(serial))
        assert.deepStrictEqual(
          states.map((record) => [record?.state, record?.fullChainPem]),
          certificates.map(({ fullChainPem }, index) =>
            index === 4
              ? ["intent", null]
              : [2, 3].includes(index)
                ? ["withheld", null]
                : ["issued", fullChainPem]
          )
        )
        const entries = yield* sql<{ readonly serial: string; readonly outcome: string }>`
          SELECT serial, outcome FROM federation_audit
          WHERE serial = ANY (${all.map(({ serial }) => serial)}::text[]) AND outcome <> 'intent' ORDER BY id`
        assert.deepStrictEqual(
          new Map(entries.map(({ outcome, serial }) => [serial, outcome])),
          new Map(
            all.flatMap(({ serial }, index) =>
              index === 4 ? [] : [[serial, [2, 3].includes(index) ? "withheld" : "issued"] as const]
            )
          )
        )
        assert.strictEqual(entries.length, 5)
      })
    )

    it.effect("gives one intent one certificate, whatever comes at once", () =>
      Effect.gen(function* () {
        const { repo, serial } = yield* asked
        const certificates = [after(hour / 4), after(hour / 3), after(hour / 2)].map((notAfter) => ({
          issued: certificate(serial, notAfter),
          print: fingerprint()
        }))
        const told = yield* Effect.forEach(
          certificates,
          ({ issued, print }) =>
            Effect.match(repo.recordIssued(issued, print), {
              onSuccess: ({ _tag }) => _tag,
              onFailure: ({ message }) => message.replace(/ that allows.*/, "")
            }),
          { concurrency: "unbounded" }
        )
        const late = `record the certificate: serial ${serial} has no open intent`
        assert.deepStrictEqual(told, ["Recorded", late, late])
        assert.strictEqual((yield* recordOf(serial))?.fingerprintSha256, certificates[0]?.print)
      })
    )

    it.effect("does not let one certificate that waits for its grant hold up the others", () =>
      Effect.gen(function* () {
        const waiting = yield* Effect.all(Array.from({ length: 4 }, () => asked))
        const free = yield* Effect.all(Array.from({ length: 4 }, () => asked))
        const { repo } = yield* asked
        const sql = yield* SqlClient
        const ids = waiting.map(({ grant }) => grant.id)
        const commit = yield* heldOpen(
          sql`SELECT FROM federation_grants WHERE id = ANY (${ids}::uuid[]) FOR UPDATE`
        )
        const record = ({ serial }: { readonly serial: SerialNumber }) =>
          repo.recordIssued(certificate(serial), fingerprint())
        const held = yield* Effect.forEach(waiting, (one) => Effect.forkChild(record(one)))
        yield* somebodyWaits
        for (const one of free) assert.deepStrictEqual(yield* record(one), { _tag: "Recorded" })
        assert.deepStrictEqual(
          (yield* Effect.forEach(waiting, ({ serial }) => recordOf(serial))).map((record) => record?.state),
          waiting.map(() => "intent" as const)
        )
        yield* commit
        for (const fiber of held) assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "Recorded" })
      })
    )

    it.effect("settles an intent, and overwrites no certainty by a guess", () =>
      Effect.gen(function* () {
        const settle = Effect.fnUntraced(function* (
          ...outcomes: ReadonlyArray<Omit<IssuanceOutcome, "serial">>
        ) {
          const { repo, serial } = yield* asked
          for (const outcome of outcomes) yield* repo.recordOutcome({ serial, ...outcome })
          const record = yield* recordOf(serial)
          return [record?.state, record?.errorCode, record?.revokedAtCa !== null]
        })
        const refused = { state: "refused", errorCode: "CA_FORBIDDEN", revokedAtCa: false } as const
        const withheld = { state: "withheld", errorCode: "CERTIFICATE_WITHHELD", revokedAtCa: false } as const
        const ambiguous = { state: "ambiguous", errorCode: "CA_TIMEOUT", revokedAtCa: false } as const
        assert.deepStrictEqual(yield* settle(refused), ["refused", "CA_FORBIDDEN", false])
        assert.deepStrictEqual(yield* settle(withheld), ["withheld", "CERTIFICATE_WITHHELD", false])
        assert.deepStrictEqual(yield* settle(ambiguous), ["ambiguous", "CA_TIMEOUT", false])
        assert.deepStrictEqual(yield* settle(ambiguous, { ...ambiguous, revokedAtCa: true }), [
          "ambiguous",
          "CA_TIMEOUT",
          true
        ])
        assert.deepStrictEqual(yield* settle(ambiguous, withheld), [
          "withheld",
          "CERTIFICATE_WITHHELD",
          false
        ])
        assert.deepStrictEqual(yield* settle(withheld, { ...ambiguous, revokedAtCa: true }), [
          "withheld",
          "CERTIFICATE_WITHHELD",
          true
        ])
        assert.deepStrictEqual(yield* settle({ ...withheld, revokedAtCa: true }, withheld), [
          "withheld",
          "CERTIFICATE_WITHHELD",
          true
        ])
        assert.deepStrictEqual(yield* settle(refused, ambiguous), ["refused", "CA_FORBIDDEN", false])
      })
    )

    it.effect("takes an issued certificate back, but never says that it was not signed", () =>
      Effect.gen(function* () {
        const { repo, serial } = yield* asked
        yield* repo.recordIssued(certificate(serial), fingerprint())
        const outcome = { serial, errorCode: "STORAGE_UNAVAILABLE", revokedAtCa: true } as const
        const lie = yield* Effect.flip(repo.recordOutcome({ ...outcome, state: "refused" }))
        assert.strictEqual(lie.code, "STORAGE_FAILED")
        assert.strictEqual(
          lie.message,
          `record the outcome: serial ${serial} has no record that may become refused`
        )
        yield* repo.recordOutcome({ ...outcome, state: "withheld" })
        const record = yield* recordOf(serial)
        assert.deepStrictEqual(
          [record?.state, record?.fullChainPem, record?.fingerprintSha256],
          ["withheld", null, null]
        )
        const unknown = yield* Effect.flip(
          repo.recordOutcome({ ...outcome, serial: newSerial(), state: "withheld" })
        )
        assert.match(unknown.message, /has no record that may become withheld$/)
      })
    )

    it.effect("cannot be made to hold a lie", () =>
      Effect.gen(function* () {
        const { grant, intent, repo, serial } = yield* asked
        const sql = yield* SqlClient
        const constraint = (error: { readonly reason: { readonly cause: unknown } }) =>
          (error.reason.cause as { constraint?: string }).constraint
        const certificates = "federation_certificates"
        const grants = "federation_grants"
        const lies = [
          [
            sql`UPDATE federation_certificates SET state = 'issued', settled_at = now() WHERE serial = ${serial}`,
            `${certificates}_issued_has_a_certificate`
          ],
          [
            sql`UPDATE federation_certificates SET state = 'refused', settled_at = now() WHERE serial = ${serial}`,
            `${certificates}_failure_has_a_code`
          ],
          [
            sql`UPDATE federation_certificates SET state = 'refused', error_code = 'X' WHERE serial = ${serial}`,
            `${certificates}_intent_is_unsettled`
          ],
          [
            sql`UPDATE federation_certificates SET not_after = requested_at WHERE serial = ${serial}`,
            `${certificates}_validity`
          ],
          [
            sql`UPDATE federation_certificates SET serial = '0' WHERE serial = ${serial}`,
            `${certificates}_serial_check`
          ],
          [
            sql`UPDATE federation_certificates SET state = 'perhaps', settled_at = now() WHERE serial = ${serial}`,
            `${certificates}_state_check`
          ],
          [
            sql`UPDATE federation_certificates SET csr_sha256 = 'AB' WHERE serial = ${serial}`,
            `${certificates}_csr_sha256_check`
          ],
          [
            sql`UPDATE federation_certificates SET subject_user_id = ${randomUUID()} WHERE serial = ${serial}`,
            `${certificates}_of_the_grants_subject`
          ],
          [
            sql`DELETE FROM federation_grants WHERE id = ${grant.id}`,
            `${certificates}_of_the_grants_subject`
          ],
          [
            sql`UPDATE federation_grants SET status = 'revoked' WHERE id = ${grant.id}`,
            `${grants}_revoked_when_and_why`
          ],
          [
            sql`UPDATE federation_grants SET revoked_at = now() WHERE id = ${grant.id}`,
            `${grants}_revoked_when_and_why`
          ],
          [
            sql`UPDATE federation_grants SET status = 'expired' WHERE id = ${grant.id}`,
            `${grants}_status_check`
          ],
          [sql`UPDATE federation_grants SET peer = 'a b' WHERE id = ${grant.id}`, `${grants}_peer_check`],
          [
            sql`UPDATE federation_grants SET expires_at = 'infinity' WHERE id = ${grant.id}`,
            `${grants}_expires_at_check`
          ]
        ] as const
        for (const [lie, name] of lies) {
          const error = yield* Effect.flip(lie)
          assert.strictEqual(constraint(error), name)
        }
        const stranger = yield* Effect.flip(
          repo.recordIntent({
            ...intent,
            serial: newSerial(),
            csrSha256: fingerprint(),
            subjectUserId: UserId.make(randomUUID())
          })
        )
        assert.match(stranger.message, refusedBy(`${certificates}_of_the_grants_subject`))
        yield* repo.revoke(grant.id, "over")
        const undo = yield* Effect.flip(
          sql`UPDATE federation_grants SET status = 'active', revoked_at = NULL, revocation_reason = NULL WHERE id = ${grant.id}`
        )
        assert.include(String(undo.reason.cause), `grant ${grant.id} is revoked, and a revocation is final`)
      })
    )

    it.effect("takes no serial, digest, action or outcome of another form", () =>
      Effect.gen(function* () {
        const { serial } = yield* asked
        const sql = yield* SqlClient
        const hex = "0123456789abcdef".repeat(4)
        const forms = [
          ["federation_certificates", "serial", ["", "1".repeat(18), "1".repeat(40), `0${"1".repeat(20)}`]],
          [
            "federation_certificates",
            "serial",
            [`-${"1".repeat(20)}`, `${"1".repeat(20)}\n`, "１".repeat(20)]
          ],
          [
            "federation_certificates",
            "csr_sha256",
            [hex.slice(1), `${hex}0`, hex.toUpperCase(), `${hex.slice(1)}\n`]
          ],
          [
            "federation_certificates",
            "fingerprint_sha256",
            ["", hex.slice(1), `${hex}0`, `${hex.slice(1)}g`]
          ],
          ["federation_audit", "action", ["", "Grant", ".grant", "grant create", "a".repeat(65), "grant\n"]],
          ["federation_audit", "outcome", ["", "Done", "1", "done.", "a".repeat(65), "done\n"]]
        ] as const
        const tryOut = (table: string, column: string, value: string) =>
          sql.withTransaction(
            Effect.andThen(
              sql`UPDATE ${sql(table)} SET ${sql(column)} = ${value} WHERE serial = ${serial}`,
              Effect.fail("rolled back")
            )
          )
        for (const [table, column, values] of forms) {
          for (const value of values) {
            const error = yield* Effect.flip(tryOut(table, column, value))
            if (typeof error === "string") return assert.fail(`${column} takes ${JSON.stringify(value)}`)
            assert.strictEqual(
              (error.reason.cause as { constraint?: string }).constraint,
              `${table}_${column}_check`
            )
          }
        }
        const fine = [
          ["federation_certificates", "serial", "1".repeat(19)],
          ["federation_certificates", "serial", "9".repeat(39)],
          ["federation_certificates", "csr_sha256", hex],
          ["federation_audit", "action", "a.b-c"],
          ["federation_audit", "outcome", `a-${"b".repeat(62)}`]
        ] as const
        for (const [table, column, value] of fine) {
          assert.strictEqual(yield* Effect.flip(tryOut(table, column, value)), "rolled back")
        }
      })
    )

    it.effect("says so where a row was changed by hand into what it cannot be", () =>
      Effect.gen(function* () {
        const repo = yield* GrantRepo
        const sql = yield* SqlClient
        const { id } = yield* repo.create(newGrant())
        yield* sql`UPDATE federation_grants SET scopes = ARRAY['with "quotes"'] WHERE id = ${id}`
        const error = yield* Effect.flip(repo.find(id))
        assert.strictEqual(error.code, "STORAGE_FAILED")
        assert.include(error.message, "find a grant: ")
        assert.include(error.message, "scope-token")
      })
    )
  })
})
