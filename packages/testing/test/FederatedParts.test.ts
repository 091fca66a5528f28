/** PostgreSQL with pgvector and Valkey as other tests get them: usable, apart from each other, and gone afterwards. */
import { chmodSync, readFileSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { debianRoot } from "../src/DebianRoot.ts"
import { FederatedParts } from "../src/FederatedParts.ts"
import { federated } from "../src/federated.ts"
import { federatedSources, howToGetFederatedParts } from "../src/FederatedSource.ts"
import { runCommand } from "../src/internal/runCommand.ts"
import { temporary } from "./support/initScript.ts"

/** PATH with the root's own psql and valkey-cli first. */
const clientsOf = Effect.fnUntraced(function* (root: string) {
  const directory = yield* temporary
  for (const name of ["psql", "valkey-cli"]) {
    const path = join(directory, name)
    writeFileSync(path, `#!/bin/sh\nexec chroot '${root}' ${name} "$@"\n`)
    chmodSync(path, 0o755)
  }
  return [directory, process.env["PATH"] ?? ""].join(delimiter)
})

const isRunning = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

federated(
  "FederatedParts, for data",
  () => {
    it.live("has the versions of the stack, and the extension", () =>
      Effect.gen(function* () {
        const { postgres, valkey } = yield* FederatedParts.data
        assert.match(yield* postgres.exec("show server_version"), /^17\./)
        assert.strictEqual(yield* postgres.exec("select '[1,2,3]'::vector <-> '[1,2,4]'"), "1")
        assert.match(yield* valkey.command("info", "server"), /valkey_version:8\./)
      })
    )
  },
  "data"
)

federated("FederatedParts", () => {
  it.live("has what was written, after any end", () =>
    Effect.gen(function* () {
      const { postgres, valkey } = yield* FederatedParts.make()
      yield* postgres.exec("create table kept (value int); insert into kept values (7)")
      yield* valkey.command("set", "kept", "7")
      for (const end of ["stop", "kill9"] as const) {
        for (const part of [postgres, valkey]) {
          yield* part[end]
          yield* part.start
        }
        assert.strictEqual(yield* postgres.exec("select value from kept"), "7")
        assert.strictEqual(yield* valkey.command("get", "kept"), "7")
      }
    })
  )
})

federated(
  "FederatedParts, as processes",
  () => {
    it.live("gives each its own port and password, and leaves nothing behind", () =>
      Effect.gen(function* () {
        const pids = yield* Effect.scoped(
          Effect.gen(function* () {
            const [one, other] = yield* Effect.all([FederatedParts.native(), FederatedParts.native()])
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

    it.live("freezes and thaws them", () =>
      Effect.gen(function* () {
        const { postgres, valkey } = yield* FederatedParts.native()
        const states = (pid: number) => {
          const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")
          return [String(pid), ...children.filter(Boolean)].map(
            (one) => /^State:\s+(\S)/m.exec(readFileSync(`/proc/${one}/status`, "utf8"))?.[1]
          )
        }
        for (const part of [postgres, valkey]) {
          yield* part.freeze
          const frozen = states(part.pid() ?? 0)
          assert.match(frozen.join(""), /^T[TZ]*$/)
          assert.isTrue(part === valkey || frozen.length > 1)
          yield* part.thaw
        }
        assert.strictEqual(yield* valkey.command("ping"), "PONG")
        assert.strictEqual(yield* postgres.exec("select 1"), "1")
      })
    )

    it.live("are taken from the servers that the environment names, which stay as they were", () =>
      Effect.gen(function* () {
        const { postgres, valkey } = yield* FederatedParts.native()
        const env = {
          MOSAIC_TEST_DATABASE_URL: Redacted.value(postgres.url),
          MOSAIC_TEST_REDIS_URL: Redacted.value(valkey.url)
        }
        yield* valkey.command("set", "theirs", "1")
        // Taken already.
        yield* valkey.command("-n", "15", "set", "theirs", "1")
        const databases = "select string_agg(datname, ' ' order by datname) from pg_database"
        const before = yield* postgres.exec(databases)
        const ended = yield* runCommand({
          file: process.execPath,
          args: [fileURLToPath(new URL("programs/givenParts.ts", import.meta.url))],
          env: { ...process.env, ...env, PATH: yield* clientsOf(yield* debianRoot) }
        })
        assert.deepStrictEqual(
          JSON.parse(ended.stdout === "" ? "{}" : ended.stdout),
          {
            version: 17,
            distance: "1",
            kept: "7",
            path: "/14"
          },
          ended.stderr
        )
        assert.strictEqual(yield* postgres.exec(databases), before)
        assert.strictEqual(yield* valkey.command("dbsize"), "1")
        assert.strictEqual(yield* valkey.command("-n", "14", "dbsize"), "0")
      })
    )
  },
  "native"
)

describe("FederatedSource", () => {
  const none = { compose: "no container engine answers", debian: "this is not Linux", urls: "not set" }
  const all = { compose: undefined, debian: undefined, urls: undefined }

  it("prefers the compose stack, then a Debian root, then servers that are named", () => {
    assert.deepStrictEqual(federatedSources("data", all).usable, ["compose", "debian", "urls"])
    assert.deepStrictEqual(federatedSources("data", { ...all, compose: none.compose }), {
      usable: ["debian", "urls"],
      obstacles: "no container engine answers"
    })
    assert.deepStrictEqual(federatedSources("data", { ...none, urls: undefined }).usable, ["urls"])
  })

  it("stops no server of others, and runs scripts beside none but a Debian root's", () => {
    assert.deepStrictEqual(federatedSources("control", all).usable, ["compose", "debian"])
    assert.deepStrictEqual(federatedSources("control", { ...none, urls: undefined }).usable, [])
    assert.deepStrictEqual(federatedSources("native", all).usable, ["debian"])
  })

  it("says in one line why there is none, and how to get one", () => {
    assert.deepStrictEqual(federatedSources("data", none), {
      usable: [],
      obstacles: "no container engine answers; this is not Linux; not set"
    })
    assert.strictEqual(
      howToGetFederatedParts("data"),
      "start a container engine with the compose plugin, or as root on Debian: apt-get install debootstrap, " +
        "or set MOSAIC_TEST_DATABASE_URL and MOSAIC_TEST_REDIS_URL"
    )
    assert.strictEqual(howToGetFederatedParts("native"), "as root on Debian: apt-get install debootstrap")
  })
})
