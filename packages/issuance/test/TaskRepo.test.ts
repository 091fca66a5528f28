import { randomBytes, randomUUID } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { UserId } from "@mosaic-federation/domain/UserId"
import { DateTime, Duration, Effect, Fiber, Layer, Option, Queue } from "effect"
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "effect/sql/SqlClient"
import { GrantRepo } from "../src/GrantRepo.ts"
import { randomSerial } from "../src/randomSerial.ts"
import { type RevokeAtCa, type Task, TaskRepo, WorkerId } from "../src/TaskRepo.ts"
import { databaseOfItsOwn } from "./support/databaseOfItsOwn.ts"

const TestLayer = Layer.mergeAll(GrantRepo.layerNoDeps, TaskRepo.layerNoDeps).pipe(
  Layer.provideMerge(databaseOfItsOwn)
)

const lease = Duration.minutes(1)
const later = Duration.hours(1)
const newWorker = () => WorkerId.make(randomUUID())
const after = (millis: number) => DateTime.makeUnsafe(Date.now() + millis)
const hour = 3_600_000

const makeGrant = GrantRepo.use((grants) =>
  grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("peer.example"),
      scopes: [],
      expiresAt: after(hour)
    })
  )
)

type TestGrant = Effect.Success<typeof makeGrant>

const intend = Effect.fnUntraced(function* (
  grant: TestGrant,
  requestedAt = after(0),
  notAfter = after(hour / 2)
) {
  const grants = yield* GrantRepo
  const serial = randomSerial()
  const csrSha256 = randomBytes(32).toString("hex")
  yield* grants.recordIntent({
    serial,
    grantId: grant.id,
    subjectUserId: grant.subjectUserId,
    csrSha256,
    jti: randomBytes(32).toString("base64url"),
    requester: "cli",
    requestId: "req-1",
    requestedAt,
    notAfter
  })
  return serial
})

const issue = Effect.fnUntraced(function* (grant: TestGrant) {
  const grants = yield* GrantRepo
  const serial = yield* intend(grant)
  const pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
  yield* grants.recordIssued(
    new IssuedCert({
      certificate: pem,
      chain: [pem],
      serial,
      notBefore: after(-60_000),
      notAfter: after(hour / 4)
    }),
    randomBytes(32).toString("hex")
  )
  return serial
})

const recordOf = (serial: SerialNumber) =>
  GrantRepo.use((grants) => Effect.map(grants.certificates({ serial }), ([record]) => record))

const tasksOf = (...serials: ReadonlyArray<string>) =>
  SqlClient.use(
    (sql) => sql<{
      subject: string
      state: string
      attempts: number
      reason: string
      last_error_code: string | null
    }>`
      SELECT subject, state, attempts, payload ->> 'reason' AS reason, last_error_code FROM federation_tasks
      WHERE subject = ANY (${serials}) ORDER BY subject, created_at`
  )

const isRevocation = (task: Task): task is RevokeAtCa => task.kind === "revoke-at-ca"

const revocation = (task: Option.Option<Task>) => {
  const found = Option.getOrThrow(task)
  return isRevocation(found) ? found : assert.fail(found.kind)
}

/** The sweep's own task is made due and lent to this worker. */
const takeSweep = Effect.gen(function* () {
  const sql = yield* SqlClient
  const tasks = yield* TaskRepo
  yield* tasks.ensureSweep
  yield* sql`UPDATE federation_tasks SET not_before = now() - interval '1 year' WHERE kind = 'expire-sweep'`
  const [task] = yield* tasks.claimDue(newWorker(), lease, 1)
  return task?.kind === "expire-sweep" ? task : assert.fail(JSON.stringify(task))
})

describe("TaskRepo", () => {
  layer(TestLayer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("has a task for every live certificate of a grant once its revocation is committed", () =>
      Effect.gen(function* () {
        const grants = yield* GrantRepo
        const grant = yield* makeGrant
        const other = yield* makeGrant
        const serials = [yield* issue(grant), yield* issue(grant)].sort()
        yield* issue(other)
        const first = yield* grants.revoke(grant.id, "left the company")
        assert.strictEqual(first.caRevocations.length, 2)
        assert.deepStrictEqual(
          yield* tasksOf(...serials),
          serials.map((subject) => ({
            subject,
            state: "open",
            attempts: 0,
            reason: "grant revoked: left the company",
            last_error_code: null
          }))
        )
        const second = yield* grants.revoke(grant.id, "again")
        assert.deepStrictEqual(second.caRevocations, first.caRevocations)
      })
    )

    it.effect("has none where the revocation is rolled back", () =>
      Effect.gen(function* () {
        const grants = yield* GrantRepo
        const sql = yield* SqlClient
        const grant = yield* makeGrant
        const serial = yield* issue(grant)
        yield* Effect.flip(
          sql.withTransaction(Effect.andThen(grants.revoke(grant.id, "over"), Effect.fail("crash")))
        )
        assert.deepStrictEqual(yield* tasksOf(serial), [])
        assert.strictEqual((yield* grants.find(grant.id)).storedStatus, "active")
      })
    )

    it.effect("has one for a certificate that was withheld and could not be revoked", () =>
      Effect.gen(function* () {
        const grants = yield* GrantRepo
        const grant = yield* makeGrant
        const outcomes = [
          { state: "withheld", revokedAtCa: false, tasks: 1 },
          { state: "ambiguous", revokedAtCa: false, tasks: 1 },
          { state: "withheld", revokedAtCa: true, tasks: 0 },
          { state: "refused", revokedAtCa: false, tasks: 0 }
        ] as const
        for (const { revokedAtCa, state, tasks } of outcomes) {
          const serial = yield* intend(grant)
          yield* grants.recordOutcome({ serial, state, errorCode: "SOME_CODE", revokedAtCa })
          assert.strictEqual((yield* tasksOf(serial)).length, tasks, `${state} ${revokedAtCa}`)
        }
      })
    )

    it.effect("is lent to one of many workers that want it at once", () =>
      Effect.gen(function* () {
        const grants = yield* GrantRepo
        const tasks = yield* TaskRepo
        const grant = yield* makeGrant
        yield* issue(grant)
        const [id] = (yield* grants.revoke(grant.id, "over")).caRevocations
        if (id === undefined) return assert.fail("no task")
        const wanted = Array.from({ length: 8 }, (_, index) =>
          index % 2 === 0
            ? Effect.map(tasks.claim(id, newWorker(), lease), Option.toArray)
            : tasks.claimDue(newWorker(), lease, 1000)
        )
        const lent = (yield* Effect.all(wanted, { concurrency: "unbounded" })).flat()
        assert.strictEqual(lent.filter((task) => task.id === id).length, 1)
      })
    )

    it.effect(
      "goes to another worker when the loan has ended, and the first one can no longer settle it",
      () =>
        Effect.gen(function* () {
          const grants = yield* GrantRepo
          const tasks = yield* TaskRepo
          const sql = yield* SqlClient
          const grant = yield* makeGrant
          const serial = yield* issue(grant)
          const [id] = (yield* grants.revoke(grant.id, "over")).caRevocations
          if (id === undefined) return assert.fail("no task")
          const first = revocation(yield* tasks.claim(id, newWorker(), lease))
          assert.isTrue(yield* tasks.renew(first, lease))
          assert.isTrue(Option.isNone(yield* tasks.claim(id, newWorker(), lease)))
          yield* sql`UPDATE federation_tasks SET lock_until = now() WHERE id = ${id}`
          const second = revocation(yield* tasks.claim(id, newWorker(), lease))
          assert.strictEqual(second.attempts, 2)
          assert.isFalse(yield* tasks.renew(first, lease))
          yield* tasks.retryLater(first, "TOO_LATE", later)
          yield* tasks.giveBack(first)
          assert.isTrue(yield* tasks.renew(second, lease))
          yield* tasks.revokedAtCa(second)
          const [done] = yield* tasksOf(serial)
          assert.deepStrictEqual([done?.state, done?.attempts, done?.last_error_code], ["done", 2, null])
          const revokedAt = (yield* recordOf(serial))?.revokedAtCa ?? assert.fail("not on record")
          // Whoever did it as well says so as well: the first record stands.
          yield* tasks.revokedAtCa(first)
          assert.deepStrictEqual((yield* recordOf(serial))?.revokedAtCa, revokedAt)
          assert.isTrue(Option.isNone(yield* tasks.claim(id, newWorker(), lease)))
        })
    )

    it.effect("waits out its delay after a failure, and is due at once when it was given back", () =>
      Effect.gen(function* () {
        const grants = yield* GrantRepo
        const tasks = yield* TaskRepo
        const grant = yield* makeGrant
        const serial = yield* issue(grant)
        const [id] = (yield* grants.revoke(grant.id, "over")).caRevocations
        if (id === undefined) return assert.fail("no task")
        yield* tasks.giveBack(revocation(yield* tasks.claim(id, newWorker(), lease)))
        const task = revocation(yield* tasks.claim(id, newWorker(), lease))
        assert.strictEqual(task.attempts, 1)
        const before = yield* tasks.depth
        yield* tasks.retryLater(task, "CA_UNREACHABLE", later)
        const depth = yield* tasks.depth
        assert.deepStrictEqual(
          [depth.open, depth.running, depth.failing],
          [before.open, before.running - 1, before.failing + 1]
        )
        assert.isTrue(Option.isNone(yield* tasks.claim(id, newWorker(), lease)))
        assert.strictEqual((yield* tasksOf(serial))[0]?.last_error_code, "CA_UNREACHABLE")
        assert.deepStrictEqual(yield* tasks.openOf([id]), [{ id, errorCode: "CA_UNREACHABLE" }])

        const early = revocation(yield* tasks.claim(id, newWorker(), lease, "early"))
        assert.isTrue(Option.isNone(yield* tasks.claim(id, newWorker(), lease, "early")))
        yield* tasks.revokedAtCa(early)
        assert.deepStrictEqual(yield* tasks.openOf([id]), [])
      })
    )

    it.effect("leaves kinds of a later version to that version's workers", () =>
      Effect.gen(function* () {
        const tasks = yield* TaskRepo
        const sql = yield* SqlClient
        yield* sql`INSERT INTO federation_tasks (kind, subject, payload) VALUES ('something-new', 'x', '{}')`
        const lent = yield* tasks.claimDue(newWorker(), lease, 1000)
        assert.deepStrictEqual(
          lent.filter(({ kind }) => kind !== "revoke-at-ca" && kind !== "expire-sweep"),
          []
        )
        assert.strictEqual((yield* tasksOf("x"))[0]?.state, "open")
      })
    )

    it.effect("sweeps: abandoned intents, certificates that ended, tasks of long ago", () =>
      Effect.gen(function* () {
        const grants = yield* GrantRepo
        const tasks = yield* TaskRepo
        const sql = yield* SqlClient
        const grant = yield* makeGrant
        const mayLive = yield* intend(grant, after(-16 * 60_000))
        const cannotLive = yield* intend(grant, after(-hour), after(-60_000))
        const underWay = yield* intend(grant)
        yield* sql`UPDATE federation_certificates SET held_until = now() - interval '1 second'
          WHERE serial IN (${mayLive}, ${cannotLive})`
        const ended = yield* issue(grant)
        const old = yield* issue(grant)
        yield* grants.revoke(grant.id, "over")
        yield* sql`UPDATE federation_certificates SET not_before = now() - interval '1 day',
          requested_at = now() - interval '1 day', not_after = now() - interval '1 second' WHERE serial = ${ended}`
        yield* sql`UPDATE federation_tasks SET state = 'done', done_at = now() - interval '31 days' WHERE subject = ${old}`
        yield* sql`UPDATE federation_certificates SET revoked_at_ca = now() WHERE serial = ${old}`

        const task = yield* takeSweep
        const result = yield* tasks.sweep(task, later)
        assert.deepStrictEqual(
          { ...result, newRevocations: result.newRevocations >= 1 },
          { abandonedIntents: 2, newRevocations: true, moot: 1, forgotten: 1 }
        )
        const states = yield* Effect.forEach([mayLive, cannotLive, underWay], recordOf)
        assert.deepStrictEqual(
          states.map((record) => [record?.state, record?.errorCode]),
          [
            ["ambiguous", "INTERRUPTED"],
            ["ambiguous", "INTERRUPTED"],
            ["intent", null]
          ]
        )
        assert.deepStrictEqual(
          (yield* tasksOf(mayLive, cannotLive, underWay)).map(({ subject }) => subject),
          [mayLive]
        )
        assert.deepStrictEqual(
          (yield* tasksOf(ended, old)).map(({ state }) => state),
          ["moot"]
        )

        // One sweep at any time, and not before its interval is over.
        yield* tasks.ensureSweep
        const [sweep] = yield* sql`SELECT count(*)::int AS count, min(not_before) > now() AS later
          FROM federation_tasks WHERE kind = 'expire-sweep'`
        assert.deepStrictEqual(sweep, { count: 1, later: true })
      })
    )

    it.effect("tells of each change of a grant when it is committed, and not before", () =>
      Effect.gen(function* () {
        const grants = yield* GrantRepo
        const sql = yield* SqlClient
        const grant = yield* makeGrant
        const notices = yield* PgClient.PgClient.use((pg) => pg.listen("federation_grants"))
        yield* Effect.flip(
          sql.withTransaction(Effect.andThen(grants.revoke(grant.id, "over"), Effect.fail("crash")))
        )
        const changes = [
          sql`UPDATE federation_grants SET status = 'suspended' WHERE id = ${grant.id}`,
          sql`UPDATE federation_grants SET status = 'active' WHERE id = ${grant.id}`,
          sql`UPDATE federation_grants SET expires_at = expires_at - interval '1 minute' WHERE id = ${grant.id}`,
          grants.revoke(grant.id, "over")
        ]
        const heard = yield* Effect.forkChild(Effect.all(changes.map(() => Queue.take(notices))))
        for (const change of changes) yield* change
        assert.deepStrictEqual(
          (yield* Fiber.join(heard)).map(({ payload }) => payload),
          changes.map(() => grant.id)
        )
      }).pipe(Effect.scoped)
    )
  })
})
