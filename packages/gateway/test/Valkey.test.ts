/** What users of the connection meet while Valkey is stopped, killed, frozen or full: an answer soon, never a wait. */
import { assert, it } from "@effect/vitest"
import { federated } from "@mosaic-federation/testing/federated"
import { Duration, Effect, Logger, Redacted } from "effect"
import { Redis } from "effect/persistence/Redis"
import { type ValkeyHealth, Valkey } from "../src/Valkey.ts"
import { ownValkey } from "./support/ownValkey.ts"
import { until } from "./support/until.ts"

/** What is logged in an outage is looked at where it is what the test is about. */
const silent = Logger.layer([])

/** Long enough for a busy machine: an answer that is late is no outage. */
const options = { patience: Duration.seconds(3), heartbeat: Duration.millis(100) }

const isUp = Valkey.use(({ health }) => Effect.map(health, ({ state }) => state === "up"))
const isAway = Effect.map(isUp, (up) => !up)
const set = Redis.use((redis) => redis.send<string>("SET", "key", "value"))

/** Every line that was logged. */
const capture = () => {
  const lines: Array<string> = []
  return {
    lines,
    layer: Logger.layer([Logger.make(({ message }) => void lines.push(JSON.stringify(message)))])
  }
}

const reasonOf = (health: ValkeyHealth) => (health.state === "away" ? health.reason : assert.fail("it is up"))

federated("Valkey", () => {
  const outages = [
    { name: "stopped", begin: "stop", end: "start", reason: /closed|ECONNREFUSED|ECONNRESET/ },
    { name: "killed -9", begin: "kill9", end: "start", reason: /closed|ECONNREFUSED|ECONNRESET/ },
    { name: "frozen", begin: "freeze", end: "thaw", reason: /^no answer within 3s$/ }
  ] as const

  for (const { begin, end, name, reason } of outages) {
    it.live(`${name}: commands fail at once, it is reported once, and comes back by itself`, () => {
      const log = capture()
      return Effect.gen(function* () {
        const server = yield* ownValkey
        yield* Effect.gen(function* () {
          const valkey = yield* Valkey
          assert.strictEqual(yield* set, "OK")
          assert.strictEqual(yield* valkey.session, 1)
          yield* server[begin]
          yield* until(isAway)
          assert.match(String((yield* Effect.flip(set)).cause), /^Error: Valkey is away/)
          assert.match(reasonOf(yield* valkey.health), reason)
          assert.isUndefined(yield* valkey.session)
          yield* server[end]
          yield* until(isUp)
          assert.strictEqual(yield* set, "OK")
          assert.strictEqual(yield* valkey.session, 2)
        }).pipe(Effect.provide(Valkey.layer(server.address, options)), Effect.scoped)
        const away = log.lines.filter((line) => line.includes("Valkey is away"))
        assert.isTrue(away.length >= 1 && away.length <= 2, log.lines.join("\n"))
        assert.strictEqual(log.lines.filter((line) => line.includes("Valkey is back")).length, 1)
        assert.notInclude(log.lines.join(), Redacted.value(server.address.password ?? Redacted.make("")))
      }).pipe(Effect.scoped, Effect.provide(log.layer))
    })
  }

  it.live("starts as away where there is none, and finds it when there is one", () =>
    Effect.gen(function* () {
      const server = yield* ownValkey
      yield* server.stop
      yield* Effect.gen(function* () {
        assert.match(reasonOf(yield* Valkey.use(({ health }) => health)), /ECONNREFUSED/)
        yield* server.start
        yield* until(isUp)
        assert.strictEqual(yield* set, "OK")
      }).pipe(Effect.provide(Valkey.layer(server.address, options)))
    }).pipe(Effect.scoped, Effect.provide(silent))
  )

  it.live("counts as away where it takes no writes", () =>
    Effect.gen(function* () {
      const server = yield* ownValkey
      yield* Effect.gen(function* () {
        const redis = yield* Redis
        yield* redis.send("CONFIG", "SET", "maxmemory", "1")
        yield* until(isAway)
        assert.match(reasonOf(yield* Valkey.use(({ health }) => health)), /^OOM command not allowed/)
      }).pipe(Effect.provide(Valkey.layer(server.address, options)))
    }).pipe(Effect.scoped, Effect.provide(silent))
  )

  it.live("says that the password is wrong", () =>
    Effect.gen(function* () {
      const server = yield* ownValkey
      const wrong = { ...server.address, password: Redacted.make("hunter2") }
      const health = yield* Valkey.use(({ health }) => health).pipe(
        Effect.provide(Valkey.layer(wrong, options))
      )
      assert.match(reasonOf(health), /^WRONGPASS/)
      assert.notInclude(reasonOf(health), "hunter2")
    }).pipe(Effect.scoped, Effect.provide(silent))
  )

  it.live("keeps the connection where a command is wrong", () =>
    Effect.gen(function* () {
      const server = yield* ownValkey
      yield* Effect.gen(function* () {
        const redis = yield* Redis
        const error = yield* Effect.flip(redis.send("NO_SUCH_COMMAND"))
        assert.match(String(error.cause), /unknown command/)
        assert.strictEqual(yield* Valkey.use(({ session }) => session), 1)
      }).pipe(Effect.provide(Valkey.layer(server.address, options)))
    }).pipe(Effect.scoped, Effect.provide(silent))
  )
})
