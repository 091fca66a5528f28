/**
 * A database of the test's own on the PostgreSQL of `MOSAIC_TEST_DATABASE_URL`, and an empty one of the numbered databases
 * of the Valkey of `MOSAIC_TEST_REDIS_URL`. Both servers may be at work for others, and are left as they were.
 */
import { randomBytes } from "node:crypto"
import { Effect, Redacted } from "effect"
import {
  type DataPostgres,
  type DataServer,
  type DataValkey,
  FederatedPartFailed
} from "../FederatedServer.ts"
import { givenUrls, valkeyClient } from "../FederatedSource.ts"
import { runCommand } from "./runCommand.ts"

const run = Effect.fnUntraced(function* (
  file: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>
) {
  const ended = yield* runCommand({ file, args, env: { ...process.env, ...env }, timeoutMillis: 30_000 })
  if (ended.code === 0) return ended.stdout.trimEnd()
  const output = `${ended.stdout}${ended.stderr}`.trim()
  return yield* new FederatedPartFailed({ doing: `${file} ${args.join(" ")}`, output })
})

/** As the environment names it, and without its password, which is no argument for a command line. */
const address = (text: string) => {
  const url = new URL(text)
  const password = decodeURIComponent(url.password)
  url.password = ""
  return { url, password }
}

const serverOf = (text: string): DataServer => {
  const { hostname, password, port, protocol } = new URL(text)
  return {
    host: hostname,
    port: Number(port === "" ? (protocol.startsWith("redis") ? 6379 : 5432) : port),
    password: Redacted.make(decodeURIComponent(password)),
    url: Redacted.make(text)
  }
}

const withPath = (text: string, path: string): string => {
  const url = new URL(text)
  url.pathname = path
  return url.href
}

export const givenPostgres = Effect.gen(function* () {
  const text = givenUrls().MOSAIC_TEST_DATABASE_URL
  const psql = (on: string, sql: string) => {
    const { password, url } = address(on)
    return run("psql", ["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql, url.href], { PGPASSWORD: password })
  }
  const name = `mosaic_test_${randomBytes(6).toString("hex")}`
  yield* Effect.acquireRelease(psql(text, `create database ${name}`), () =>
    Effect.ignore(psql(text, `drop database ${name} with (force)`))
  )
  const own = withPath(text, name)
  yield* psql(own, "create extension vector")
  return { ...serverOf(own), exec: (sql) => Effect.orDie(psql(own, sql)) } satisfies DataPostgres
})

/** A test that was killed leaves its claim behind for so long. */
const claimSeconds = "900"

export const givenValkey = Effect.gen(function* () {
  const text = givenUrls().MOSAIC_TEST_REDIS_URL
  const client = valkeyClient() ?? "valkey-cli"
  const cli = (on: string, ...words: ReadonlyArray<string>) => {
    const { password, url } = address(on)
    return run(client, ["-u", url.href, ...words], { VALKEYCLI_AUTH: password, REDISCLI_AUTH: password })
  }
  const claim = Effect.gen(function* () {
    for (let number = 15; number > 0; number--) {
      const on = withPath(text, String(number))
      const key = "mosaic:test:owner"
      if ((yield* cli(on, "SET", key, "1", "NX", "EX", claimSeconds)) !== "OK") continue
      if ((yield* cli(on, "DBSIZE")) === "1") return on
      yield* cli(on, "DEL", key)
    }
    return yield* new FederatedPartFailed({
      doing: "looking for an empty database among 1 to 15",
      output: "all are in use"
    })
  })
  const own = yield* Effect.acquireRelease(claim, (on) => Effect.ignore(cli(on, "FLUSHDB")))
  return {
    ...serverOf(own),
    command: (...words) => Effect.orDie(cli(own, ...words))
  } satisfies DataValkey
})
