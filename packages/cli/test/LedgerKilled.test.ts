/**
 * What the ledger says when a program dies, or the database or the CA goes away, at the worst moments of an issuance: real
 * processes, a row that a test holds so that the moment lasts, and the CA asked by serial what it knows.
 */
import { request } from "node:https"
import { buffer } from "node:stream/consumers"
import { assert, layer } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { EmbeddedPostgres } from "@mosaic-federation/issuance/EmbeddedPostgres"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { revokedSerials } from "@mosaic-federation/x509/RevocationList"
import { DateTime, Effect, Fiber, Layer, Redacted, Result, Schedule } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { clientOf, makeKey, startGateway } from "./support/gatewayProcess.ts"
import { heldCa, heldWay } from "./support/heldCa.ts"
import {
  createGrant,
  documentOf,
  type Extra,
  finish,
  mosaic,
  start,
  type Station,
  station,
  user
} from "./support/mosaic.ts"

interface Listed {
  readonly certificates: ReadonlyArray<{
    readonly serial: string
    readonly state: string
    readonly errorCode: string | null
    readonly revokedAtCa: string | null
    readonly requester: string | null
    readonly jti: string | null
  }>
}

/** Until it is so; the test's own time-out ends the wait. */
const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(condition, { until: (holds) => holds, schedule: Schedule.spaced("100 millis") })

const signed = StepCaProcess.use(({ log }) =>
  Effect.map(log, (text) => text.match(/path=\/1\.0\/sign .*status=201/g)?.length ?? 0)
)

/** A home whose database outlives the programs that use it, reached past them; and a held way to the CA. */
const stage = Effect.gen(function* () {
  const { environment, rootPath, rootPem, url } = yield* StepCaProcess
  const where = yield* station(environment)
  const postgres = yield* Layer.build(EmbeddedPostgres.layerAt(where.environment["MOSAIC_HOME"] ?? ""))
  const { connection } = yield* Effect.provide(EmbeddedPostgres, postgres)
  const database = yield* Layer.build(PgClient.layer({ ...connection, applicationName: "test" }))
  const ca = yield* heldCa(url)
  const sql = yield* Effect.provide(SqlClient, database)

  /** Whoever waits for a lock, by process id. A transaction would see those alone that it saw first. */
  const waiting = Effect.andThen(
    sql`SELECT pg_stat_clear_snapshot()`,
    Effect.map(
      sql<{ readonly pid: number }>`
        SELECT pid FROM pg_stat_activity
        WHERE application_name = 'mosaic' AND cardinality(pg_blocking_pids(pid)) > 0`,
      (rows) => rows.map(({ pid }) => pid)
    )
  )

  /** Holds the row of the one intent for as long as `during` takes. */
  const holdingIntent = <A, E, R>(during: Effect.Effect<A, E, R>) =>
    sql.withTransaction(
      Effect.gen(function* () {
        const rows = yield* sql`SELECT serial FROM federation_certificates WHERE state = 'intent' FOR UPDATE`
        assert.lengthOf(rows, 1)
        return yield* during
      })
    )

  const startOne = Effect.fnUntraced(function* (extra: Extra = {}) {
    const { key: bearer } = yield* makeKey(where, "admin")
    const gateway = yield* startGateway(where, extra)
    const client = yield* clientOf(gateway.url, { rootPath, bearer })
    return { gateway, client }
  })

  /** What the CA says that it has revoked. */
  const revoked = Effect.promise(
    () =>
      new Promise<ReadonlySet<string>>((resolve, reject) => {
        const asked = request(`${url}/1.0/crl`, { ca: rootPem }, (response) => {
          void buffer(response).then((crl) =>
            resolve(new Set<string>(Result.getOrThrow(revokedSerials(new Uint8Array(crl)))))
          )
        })
        asked.on("error", reject).end()
      })
  )

  return { where, connection, sql, ca, waiting, holdingIntent, startOne, revoked }
})

const newGrant = Effect.map(DateTime.now, (now) => ({
  subjectUserId: UserId.make(user),
  peer: PeerName.make("gateway.example"),
  scopes: ["orders:read"],
  expiresAt: DateTime.add(now, { days: 30 })
}))

const listed = (where: Station, ...options: ReadonlyArray<string>) =>
  Effect.map(
    mosaic(where, ["federation", "cert", "list", ...options, "--json"]),
    ({ stdout }) => documentOf<Listed>(stdout).certificates
  )

layer(StepCaProcess.layer(), { timeout: "60 seconds", excludeTestServices: true })("the ledger", (it) => {
  for (const fate of ["commits after its program", "is lost with its program"] as const) {
    it.effect(
      `tells the truth where the statement with the outcome ${fate}`,
      () =>
        Effect.gen(function* () {
          const { ca, holdingIntent, revoked, sql, startOne, waiting } = yield* stage
          const { client, gateway } = yield* startOne({ STEP_CA_URL: ca.url })
          const grant = yield* client.grants.create({ payload: yield* newGrant })
          const ask = {
            params: { id: grant.id },
            headers: {},
            payload: { csr: (yield* makeCsr("P-256")).pem }
          }
          const before = yield* signed
          ca.hold("answers")
          const asking = yield* Effect.forkChild(Effect.exit(client.certificates.issue(ask)))
          yield* until(Effect.map(signed, (now) => now === before + 1))
          yield* holdingIntent(
            Effect.gen(function* () {
              ca.release()
              yield* until(Effect.map(waiting, (pids) => pids.length > 0))
              yield* gateway.end("SIGKILL")
              if (fate === "is lost with its program") {
                for (const pid of yield* waiting) yield* sql`SELECT pg_terminate_backend(${pid})`
                yield* until(Effect.map(waiting, (pids) => pids.length === 0))
              }
            })
          )
          yield* Fiber.join(asking)

          const { client: restarted } = yield* startOne()
          const records = Effect.map(
            restarted.certificates.list({ query: { grant: grant.id } }),
            ({ certificates }) => certificates
          )
          const isSettled = Effect.map(
            records,
            ([one]) => one !== undefined && (one.state === "issued" || one.revokedAtCa !== null)
          )
          yield* until(isSettled)
          const [record] = yield* records
          const again = yield* restarted.certificates.issue(ask)
          const dead = yield* revoked
          assert.isFalse(dead.has(again.serial))
          if (fate === "commits after its program") {
            assert.deepStrictEqual([record?.state, again.serial], ["issued", record?.serial])
            assert.strictEqual(again.fingerprintSha256, record?.fingerprintSha256)
          } else {
            assert.deepStrictEqual([record?.state, record?.errorCode], ["ambiguous", "INTERRUPTED"])
            assert.notStrictEqual(again.serial, record?.serial)
            assert.isTrue(dead.has(record?.serial ?? ""))
          }
        }),
      { timeout: 180_000 }
    )
  }

  it.effect(
    "withholds where the database ends the statement with the outcome, and the gateway goes on",
    () =>
      Effect.gen(function* () {
        const { ca, holdingIntent, revoked, sql, startOne, waiting } = yield* stage
        const { client } = yield* startOne({ STEP_CA_URL: ca.url })
        const grant = yield* client.grants.create({ payload: yield* newGrant })
        const { pem: csr } = yield* makeCsr("P-256")
        const ask = { params: { id: grant.id }, headers: {}, payload: { csr } }
        const before = yield* signed
        ca.hold("answers")
        const asking = yield* Effect.forkChild(Effect.flip(client.certificates.issue(ask)))
        yield* until(Effect.map(signed, (now) => now === before + 1))
        yield* holdingIntent(
          Effect.gen(function* () {
            ca.release()
            yield* until(Effect.map(waiting, (pids) => pids.length > 0))
            for (const pid of yield* waiting) yield* sql`SELECT pg_terminate_backend(${pid})`
          })
        )
        const error = yield* Fiber.join(asking)
        assert.deepStrictEqual(["code" in error ? error.code : error._tag], ["STORAGE_UNAVAILABLE"])
        const records = Effect.map(
          client.certificates.list({ query: { grant: grant.id } }),
          ({ certificates }) => certificates
        )
        yield* until(Effect.map(records, ([one]) => one?.revokedAtCa !== null))
        const [record, ...more] = yield* records
        assert.deepStrictEqual(
          [record?.state, record?.errorCode, more],
          ["withheld", "STORAGE_UNAVAILABLE", []]
        )
        const again = yield* client.certificates.issue(ask)
        assert.notStrictEqual(again.serial, record?.serial)
        const dead = yield* revoked
        assert.deepStrictEqual([dead.has(record?.serial ?? ""), dead.has(again.serial)], [true, false])
      }),
    { timeout: 180_000 }
  )

  for (const away of ["the database", "the CA"] as const) {
    it.effect(
      `has a typed answer for whoever asks while ${away} goes away, and settles when it is back`,
      () =>
        Effect.gen(function* () {
          const { ca, connection, revoked, sql, startOne } = yield* stage
          const way = yield* heldWay({ path: connection.path })
          const password = encodeURIComponent(Redacted.value(connection.password))
          const { client, gateway } = yield* startOne({
            STEP_CA_URL: ca.url,
            DATABASE_URL: `postgresql://${connection.username}:${password}@127.0.0.1:${way.port}/${connection.database}?sslmode=disable`
          })
          const grant = yield* client.grants.create({ payload: yield* newGrant })
          const { pem: csr } = yield* makeCsr("P-256")
          const ask = { params: { id: grant.id }, headers: {}, payload: { csr } }
          const rows = sql<{ readonly serial: string; readonly state: string; readonly dead: boolean }>`
            SELECT serial, state, revoked_at_ca IS NOT NULL AS dead FROM federation_certificates
            WHERE grant_id = ${grant.id} ORDER BY requested_at`
          const before = yield* signed
          ca.hold("answers")
          const asking = yield* Effect.forkChild(Effect.flip(client.certificates.issue(ask)))
          yield* until(Effect.map(signed, (now) => now === before + 1))
          const lost = away === "the CA" ? ca : way
          lost.hold("connections")
          if (away === "the database") ca.release()
          const error = yield* Fiber.join(asking)
          assert.strictEqual(
            "code" in error ? error.code : error._tag,
            away === "the CA" ? "ISSUANCE_AMBIGUOUS" : "STORAGE_UNAVAILABLE"
          )
          const [left, ...more] = yield* rows
          assert.lengthOf(more, 0)
          assert.strictEqual(left?.state, away === "the CA" ? "ambiguous" : "intent")
          assert.isFalse(left?.dead)

          lost.release()
          ca.release()
          yield* until(Effect.map(rows, ([one]) => one?.dead === true))
          const again = yield* client.certificates.issue(ask)
          assert.deepStrictEqual(
            (yield* rows).map(({ serial, state }) => [serial, state]),
            [
              [left?.serial, "ambiguous"],
              [again.serial, "issued"]
            ]
          )
          const dead = yield* revoked
          assert.deepStrictEqual([dead.has(left?.serial ?? ""), dead.has(again.serial)], [true, false])
          assert.strictEqual(yield* gateway.end("SIGTERM"), 0)
        }),
      { timeout: 180_000 }
    )
  }

  it.effect(
    "settles without a gateway what a command that was killed has left behind",
    () =>
      Effect.gen(function* () {
        const { revoked, sql, waiting, where } = yield* stage
        const grant = yield* createGrant(where)
        const args = ["federation", "cert", "issue", "--grant", grant, "--key-out", "k", "--cert-out", "c"]
        yield* sql.withTransaction(
          Effect.gen(function* () {
            // An intent may refer to the grant, and its outcome waits for it.
            yield* sql`SELECT id FROM federation_grants WHERE id = ${grant} FOR NO KEY UPDATE`
            const child = start(where, args)
            const ended = finish(child)
            yield* until(Effect.map(waiting, (pids) => pids.length > 0))
            const [open] = yield* listed(where)
            // Whoever may read must not learn the id of a token that may yet be used.
            assert.deepStrictEqual([open?.state, open?.jti], ["intent", null])
            child.kill("SIGKILL")
            yield* Effect.promise(() => ended)
            for (const pid of yield* waiting) yield* sql`SELECT pg_terminate_backend(${pid})`
            yield* until(Effect.map(waiting, (pids) => pids.length === 0))
          })
        )
        yield* until(Effect.map(listed(where), ([one]) => one?.state === "ambiguous"))
        const [left] = yield* listed(where)
        assert.deepStrictEqual([left?.errorCode, left?.revokedAtCa], ["INTERRUPTED", null])
        assert.match(left?.requester ?? "", /^cli:./)
        assert.match(left?.jti ?? "", /^[\w-]{43}$/)
        const expiring = Effect.map(listed(where, "--expiring", "48h"), (records) =>
          records.map(({ serial, state }) => [serial, state])
        )
        assert.deepStrictEqual(yield* expiring, [[left?.serial, "ambiguous"]])
        // The next command that is at the CA has it revoked there.
        const issued = yield* mosaic(where, [...args, "--json"])
        assert.strictEqual(issued.code, 0, issued.stderr)
        const [mine, lost] = yield* listed(where)
        assert.deepStrictEqual(
          [mine?.state, lost?.state, lost?.serial],
          ["issued", "ambiguous", left?.serial]
        )
        assert.isNotNull(lost?.revokedAtCa)
        assert.deepStrictEqual(yield* expiring, [[mine?.serial, "issued"]])
        const dead = yield* revoked
        assert.deepStrictEqual([dead.has(left?.serial ?? ""), dead.has(mine?.serial ?? "")], [true, false])
      }),
    { timeout: 180_000 }
  )
})
