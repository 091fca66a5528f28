/** TLS to PostgreSQL, against a server that serves it: what each sslmode accepts, and that nothing loosens it. */
import { mkdtemp, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { Context, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as Database from "../src/Database.ts"
import { command } from "./programs/Program.ts"
import { tlsPostgres, type TlsPostgres } from "./support/tlsPostgres.ts"

interface Parts {
  readonly encrypted: TlsPostgres
  readonly plain: TlsPostgres
  /** Paths of PEM files. */
  readonly root: string
  readonly otherRoot: string
}

class Servers extends Context.Service<Servers, Parts>()("test/DatabaseTls/Servers") {
  static readonly layer = Layer.effect(
    Servers,
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "mosaic-test-"))),
        removeDirectory
      )
      const write = Effect.fnUntraced(function* (name: string, text: string) {
        const path = join(directory, name)
        yield* Effect.promise(() => writeFile(path, text))
        return path
      })
      const root = yield* makeRoot("The database's root")
      const other = yield* makeRoot("Another root")
      // For the name alone, so that the address is a wrong name.
      const identity = yield* makeServerIdentity(root, { names: ["localhost"] })
      return Servers.of({
        encrypted: yield* tlsPostgres(identity),
        plain: yield* tlsPostgres(null),
        root: yield* write("root.crt", root.pem),
        otherRoot: yield* write("other.crt", other.pem)
      })
    })
  )
}

const urlOf = ({ password, port, username }: TlsPostgres, host: string, parameters: string) =>
  `postgresql://${username}:${password}@${host}:${port}/postgres?${parameters}`

/** Whether the server says that this very session is encrypted. */
const session = (url: string) =>
  SqlClient.use(
    (sql) => sql<{ ssl: boolean }>`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`
  ).pipe(Effect.provide(Database.layerUrl(Redacted.make(url), "DATABASE_URL", "leave")))

const refusal = Effect.fnUntraced(function* (url: string) {
  const error = yield* Effect.flip(session(url))
  if (!("reason" in error) || typeof error.reason === "string") return assert.fail(String(error))
  const { cause } = error.reason
  assert.notInclude(String(cause), "hunter2")
  return cause instanceof Error && "code" in cause ? cause.code : String(cause)
})

layer(Servers.layer, { timeout: "60 seconds", excludeTestServices: true })("Database over TLS", (it) => {
  for (const mode of ["require", "verify-ca", "verify-full"]) {
    it.effect(`sslmode=${mode} takes the pinned root and the right name, and no less`, () =>
      Effect.gen(function* () {
        const { encrypted, otherRoot, plain, root } = yield* Servers
        const pinned = `sslmode=${mode}&sslrootcert=${root}`
        assert.deepStrictEqual(yield* session(urlOf(encrypted, "localhost", pinned)), [{ ssl: true }])
        assert.strictEqual(
          yield* refusal(urlOf(encrypted, "127.0.0.1", pinned)),
          "ERR_TLS_CERT_ALTNAME_INVALID"
        )
        const unknown = /^(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN)$/
        const other = `sslmode=${mode}&sslrootcert=${otherRoot}`
        assert.match(String(yield* refusal(urlOf(encrypted, "localhost", other))), unknown)
        assert.match(String(yield* refusal(urlOf(encrypted, "localhost", `sslmode=${mode}`))), unknown)
        assert.include(String(yield* refusal(urlOf(plain, "localhost", pinned))), "does not support")
      })
    )
  }

  it.effect("a root that is named is used where no sslmode is", () =>
    Effect.gen(function* () {
      const { encrypted, plain, root } = yield* Servers
      assert.deepStrictEqual(yield* session(urlOf(encrypted, "localhost", `sslrootcert=${root}`)), [
        { ssl: true }
      ])
      assert.include(
        String(yield* refusal(urlOf(plain, "localhost", `sslrootcert=${root}`))),
        "does not support"
      )
    })
  )

  it.effect("without a word of TLS, or with disable, the session is plain", () =>
    Effect.gen(function* () {
      const { encrypted, plain } = yield* Servers
      for (const server of [encrypted, plain]) {
        assert.deepStrictEqual(yield* session(urlOf(server, "localhost", "")), [{ ssl: false }])
        assert.deepStrictEqual(yield* session(urlOf(server, "localhost", "sslmode=disable")), [
          { ssl: false }
        ])
      }
      assert.deepStrictEqual(yield* session(urlOf(plain, "localhost", "sslmode=prefer")), [{ ssl: false }])
    })
  )

  it.effect("NODE_TLS_REJECT_UNAUTHORIZED=0 loosens nothing", () =>
    Effect.gen(function* () {
      const { encrypted } = yield* Servers
      const { said } = yield* Effect.promise(
        () =>
          command({
            env: {
              DATABASE_URL: urlOf(encrypted, "localhost", "sslmode=verify-full"),
              NODE_TLS_REJECT_UNAUTHORIZED: "0"
            }
          }).exited
      )
      const [event] = said
      assert.strictEqual(event?.code, "STORAGE_UNAVAILABLE", JSON.stringify(said))
      assert.match(event?.message ?? "", /unable to verify the first certificate|self-signed certificate/)
      assert.include(event?.remediation ?? "", "see which database is used")
    })
  )
})
