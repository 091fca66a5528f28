/**
 * Two replicas on one PostgreSQL and one Valkey behind a balancer, with a real step-ca: the life of grants over the
 * network, by the command alone. Once in peace; once while replicas are killed, after which the ledger, the audit chain
 * and the CA must agree to the row.
 */
import { randomInt, randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { federated } from "@mosaic-federation/testing/federated"
import { FederatedParts } from "@mosaic-federation/testing/FederatedParts"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { DateTime, Effect, Fiber, Redacted, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { caStore, keptIn } from "./support/caStore.ts"
import { clientOf, type GatewayProcess, makeKey, startGateway } from "./support/gatewayProcess.ts"
import { loadBalancer } from "./support/loadBalancer.ts"
import {
  documentOf,
  type ErrorDocument,
  finish,
  mosaic,
  start,
  type Station,
  station,
  user
} from "./support/mosaic.ts"

/** Long enough for a replica to come back in the last third of it. */
const life = "36s"

const federation = Effect.gen(function* () {
  const { postgres, valkey } = yield* FederatedParts.make()
  const ca = yield* StepCaProcess.make({ lifetimes: { min: "2s", default: life, max: life } })
  yield* ca.reconfigure(keptIn(postgres))
  const balancer = yield* loadBalancer
  const password = "correct-horse-battery"
  const login = new URL(Redacted.value(postgres.url))
  login.username = "mosaic_app"
  login.password = password
  const where = yield* station({
    ...ca.environment,
    MOSAIC_DATABASE_OWNER_URL: Redacted.value(postgres.url),
    DATABASE_URL: login.href,
    REDIS_URL: Redacted.value(valkey.url),
    MOSAIC_PUBLIC_URL: balancer.url,
    MOSAIC_RATE_PER_GRANT: "100000/1m"
  })
  const replicas: Array<GatewayProcess> = []
  const route = () => balancer.route(replicas.map(({ url }) => Number(new URL(url).port)))
  const replace = Effect.fnUntraced(function* (index: number) {
    replicas[index] = yield* startGateway(where)
    route()
  })
  const migrated = yield* mosaic(where, ["db", "migrate", "--app-password-file", "-"], { input: password })
  assert.strictEqual(migrated.code, 0, migrated.stderr)
  const { key } = yield* makeKey(where, "admin")
  yield* replace(0)
  yield* replace(1)
  /** An operator elsewhere: a URL, a root and a key. */
  const operator: Station = {
    directory: where.directory,
    environment: {
      PATH: process.env["PATH"] ?? "",
      HOME: join(where.directory, "operator"),
      MOSAIC_GATEWAY_URL: balancer.url,
      MOSAIC_GATEWAY_ROOT: ca.rootPath,
      MOSAIC_API_KEY: key
    }
  }
  return { balancer, ca, key, operator, postgres, replace, replicas, where }
})

type Federation = Effect.Success<typeof federation>

/** What passes when a replica comes back: the network (5) and the database connection that it lost (7). */
const passing = new Set([5, 7])

/** In peace a command is run once; in war until something other than the network decides. */
const runner = (isWar: boolean) =>
  Effect.fnUntraced(function* (where: Station, args: ReadonlyArray<string>, input = "") {
    const run = mosaic(where, [...args, "--json"], { input })
    return yield* isWar
      ? Effect.repeat(run, {
          schedule: Schedule.spaced("200 millis"),
          until: ({ code }) => code === null || !passing.has(code)
        })
      : run
  })

const Status = Schema.Struct({ renewals: Schema.Int, serial: Schema.String })

/** create, token, enroll, whoami, two renewals by the agent, revoke, refused. Answers with the serials that the peer had. */
const lifeOfAGrant = Effect.fnUntraced(function* ({ operator }: Federation, isWar: boolean) {
  const run = runner(isWar)
  const peer = yield* station()
  const done = Effect.fnUntraced(function* <A>(where: Station, args: ReadonlyArray<string>, input?: string) {
    const { code, stderr, stdout } = yield* run(where, args, input)
    assert.strictEqual(code, 0, `${args.join(" ")}: ${stderr}${stdout}`)
    return documentOf<A>(stdout)
  })
  const refused = Effect.fnUntraced(function* (where: Station, args: ReadonlyArray<string>, input?: string) {
    const { code, stdout } = yield* run(where, args, input)
    return { code, error: documentOf<ErrorDocument>(stdout).error.code }
  })

  const grant = randomUUID()
  const create = ["federation", "grant", "create", "--id", grant, "--user", user]
  const created = yield* run(operator, [...create, "--peer", "orders.example", "--scope", "orders:read"])
  // A lost answer: the grant is there.
  if (created.code !== 0) {
    assert.isTrue(isWar)
    assert.strictEqual(documentOf<ErrorDocument>(created.stdout).error.code, "GRANT_ALREADY_EXISTS")
  }
  const tokenFor = (id: string) =>
    done<{ readonly token: string }>(operator, ["federation", "token", "create", "--grant", id])
  const { token } = yield* tokenFor(grant)
  yield* done(peer, ["federation", "enroll", "--out", "peer"], token)
  const whoami = ["federation", "whoami", "--dir", "peer"]
  const identity = yield* done<Readonly<Record<string, string>>>(peer, whoami)
  assert.deepInclude(identity, { grantId: grant, subjectUserId: user, peer: "orders.example" })

  const status = Effect.sync(() =>
    Schema.decodeUnknownSync(Schema.fromJsonString(Status))(
      readFileSync(join(peer.directory, "peer", "status.json"), "utf8")
    )
  ).pipe(Effect.catchDefect(() => Effect.succeed({ renewals: 0, serial: "" })))
  const serials = new Set<string>()
  const agent = start(peer, ["federation", "agent", "--dir", "peer", "--json"])
  const ended = finish(agent)
  yield* Effect.addFinalizer(() => Effect.sync(() => agent.kill("SIGKILL")))
  yield* status.pipe(
    Effect.tap(({ serial }) => Effect.sync(() => serials.add(serial))),
    Effect.repeat({ schedule: Schedule.spaced("100 millis"), until: ({ renewals }) => renewals >= 2 })
  )
  yield* done(peer, whoami)

  const spare = yield* tokenFor(grant)
  yield* done(operator, ["federation", "grant", "revoke", grant, "--reason", "the contract ended"])
  assert.deepStrictEqual(yield* refused(peer, whoami), { code: 3, error: "GRANT_REVOKED" })
  assert.deepStrictEqual(yield* refused(peer, ["federation", "enroll", "--out", "again"], spare.token), {
    code: 3,
    error: "GRANT_REVOKED"
  })
  const { code, stderr } = yield* Effect.promise(() => ended)
  assert.strictEqual(code, 3, stderr)
  serials.delete("")
  return { grant, serials: [...serials] }
})

const Ledger = Schema.Array(
  Schema.Struct({
    serial: Schema.String,
    state: Schema.Literals(["intent", "issued", "refused", "withheld", "ambiguous"]),
    revoked: Schema.Boolean,
    live: Schema.Boolean
  })
)

const ledgerOf = Effect.fnUntraced(function* ({ postgres }: Federation) {
  return yield* SqlClient.use(
    (sql) => sql`
      SELECT serial, state, revoked_at_ca IS NOT NULL AS revoked, not_after > now() AS live
      FROM federation_certificates`
  ).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Ledger)),
    Effect.provide(PgClient.layer({ url: postgres.url }))
  )
})

const openTasks = Effect.fnUntraced(function* ({ postgres }: Federation) {
  return Number(
    yield* postgres.exec(
      "SELECT count(*) FROM federation_tasks WHERE state = 'open' AND kind = 'revoke-at-ca'"
    )
  )
})

/** Nothing is open any more: every intent has its outcome, every revocation is done. */
const settled = (parts: Federation) =>
  Effect.gen(function* () {
    const ledger = yield* ledgerOf(parts)
    return ledger.every(({ state }) => state !== "intent") && (yield* openTasks(parts)) === 0
  }).pipe(Effect.repeat({ schedule: Schedule.spaced("500 millis"), until: (isSo) => isSo }))

/** The chain is whole, and every certificate that was handed out has its record in it. */
const auditVerified = Effect.fnUntraced(function* (parts: Federation) {
  const verified = yield* mosaic(parts.where, ["audit", "verify", "--json"])
  assert.strictEqual(verified.code, 0, verified.stderr + verified.stdout)
  const recorded = yield* SqlClient.use(
    (sql) => sql`SELECT serial FROM federation_audit WHERE serial IS NOT NULL AND outcome = 'issued'`
  ).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ serial: Schema.String })))),
    Effect.provide(PgClient.layer({ url: parts.postgres.url }))
  )
  const issued = (yield* ledgerOf(parts)).filter(({ state }) => state === "issued")
  assert.includeMembers(
    recorded.map(({ serial }) => serial),
    issued.map(({ serial }) => serial)
  )
})

/** Issues and revokes all the time, so that a kill hits something. */
const traffic = Effect.fnUntraced(function* ({ balancer, ca, key }: Federation, count: () => void) {
  const client = yield* clientOf(balancer.url, { rootPath: ca.rootPath, bearer: key })
  const round = Effect.gen(function* () {
    const expiresAt = DateTime.add(yield* DateTime.now, { days: 1 })
    const grant = yield* client.grants.create({
      payload: {
        subjectUserId: UserId.make(user),
        peer: PeerName.make("busy.example"),
        scopes: [],
        expiresAt
      }
    })
    for (let issued = 0; issued < 5; issued++) {
      const { pem } = yield* makeCsr("P-256")
      const issue = client.certificates.issue({
        params: { id: grant.id },
        headers: {},
        payload: { csr: pem }
      })
      yield* Effect.ensuring(issue, Effect.sync(count))
    }
    yield* client.grants.revoke({ params: { id: grant.id }, payload: { reason: "done" } })
  })
  return yield* Effect.forever(Effect.andThen(Effect.ignore(round), Effect.sleep("5 millis")))
})

federated("two replicas of the gateway", () => {
  it.live(
    "live through the life of a grant, by the command alone",
    () =>
      Effect.gen(function* () {
        const parts = yield* federation
        const { serials } = yield* lifeOfAGrant(parts, false)
        assert.isAtLeast(serials.length, 3)
        yield* settled(parts)
        yield* auditVerified(parts)
      }).pipe(Effect.scoped),
    600_000
  )

  it.live(
    "are killed at random, and ledger, audit chain and CA agree to the row",
    () =>
      Effect.gen(function* () {
        const parts = yield* federation
        const { ca, replace, replicas } = parts
        let requests = 0
        const count = () => void requests++
        const busy = yield* Effect.forkScoped(
          Effect.all(
            Array.from({ length: 4 }, () => traffic(parts, count)),
            { concurrency: "unbounded" }
          )
        )
        const lives = yield* Effect.forkScoped(
          Effect.all(
            Array.from({ length: 3 }, () => lifeOfAGrant(parts, true)),
            {
              concurrency: "unbounded"
            }
          )
        )
        const kills = 8
        for (let kill = 0; kill < kills; kill++) {
          const after = requests + randomInt(5, 40)
          yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => requests >= after })
          const index = randomInt(2)
          const code = yield* replicas[index]?.end("SIGKILL") ?? Effect.succeed(0)
          assert.isNull(code)
          yield* replace(index)
        }
        const lived = yield* Fiber.join(lives)
        yield* Fiber.interrupt(busy)
        yield* settled(parts)
        yield* auditVerified(parts)
        // What was under way when the callers ended has come to its end meanwhile.
        yield* settled(parts)
        yield* ca.stop

        const ledger = yield* ledgerOf(parts)
        const store = yield* caStore(parts.postgres)
        const inState = (...states: ReadonlyArray<string>) =>
          ledger.filter(({ state }) => states.includes(state)).map(({ serial }) => serial)
        const known = inState("issued", "withheld", "ambiguous", "refused")
        assert.includeMembers(known, store.signed, "what the CA has signed is on record")
        assert.includeMembers(store.signed, inState("issued"), "what was handed out, the CA has signed")
        const refused = new Set(inState("refused"))
        assert.deepStrictEqual(
          store.signed.filter((serial) => refused.has(serial)),
          [],
          "what was refused, the CA has not signed"
        )
        assert.includeMembers(
          store.revoked,
          inState("withheld", "ambiguous"),
          "what nobody may hold, the CA has revoked"
        )
        assert.sameMembers(
          store.revoked,
          ledger.filter(({ revoked }) => revoked).map(({ serial }) => serial),
          "both know the same revocations"
        )
        assert.includeMembers(
          inState("issued"),
          lived.flatMap(({ serials }) => serials),
          "what peers had is on record"
        )
      }).pipe(Effect.scoped),
    900_000
  )
})
