/** PostgreSQL with pgvector and Valkey as other tests get them: usable, apart from each other, and gone afterwards. */
import { assert, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { FederatedParts } from "../src/FederatedParts.ts"
import { federated } from "../src/federated.ts"

const isRunning = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

federated("FederatedParts", () => {
  it.live("has the versions of the stack, the extension, and what was written after any end", () =>
    Effect.gen(function* () {
      const { postgres, valkey } = yield* FederatedParts.make()
      assert.match(yield* postgres.exec("show server_version"), /^17\./)
      assert.strictEqual(yield* postgres.exec("select '[1,2,3]'::vector <-> '[1,2,4]'"), "1")
      assert.match(yield* valkey.command("info", "server"), /valkey_version:8\./)
      yield* postgres.exec("create table kept (value int); insert into kept values (7)")
      yield* valkey.command("set", "kept", "7")
      for (const end of ["stop", "kill9"] as const) {
        for (const part of [postgres, valkey]) {
          yield* part[end]
          assert.isUndefined(part.pid())
          yield* part.start
        }
        assert.strictEqual(yield* postgres.exec("select value from kept"), "7")
        assert.strictEqual(yield* valkey.command("get", "kept"), "7")
      }
    })
  )

  it.live("gives each its own port and password, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const pids = yield* Effect.scoped(
        Effect.gen(function* () {
          const [one, other] = yield* Effect.all([FederatedParts.make(), FederatedParts.make()])
          assert.notStrictEqual(one.postgres.port, other.postgres.port)
          assert.notStrictEqual(Redacted.value(one.valkey.password), Redacted.value(other.valkey.password))
          return [one, other].flatMap(({ postgres, valkey }) => [postgres.pid(), valkey.pid()])
        })
      )
      assert.lengthOf(pids, 4)
      for (const pid of pids) {
        assert(pid !== undefined)
        assert.isFalse(isRunning(pid))
      }
    })
  )
})
