/** The configuration file reaches every command, wherever it lies, and `config show` tells what holds. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  documentOf,
  type ErrorDocument,
  type Extra,
  mosaic,
  type Station,
  station,
  user
} from "./support/mosaic.ts"

interface Shown {
  readonly tier: string
  readonly file: string | null
  readonly settings: ReadonlyArray<{
    readonly name: string
    readonly value: string | null
    readonly source: string | null
  }>
  readonly missing: ReadonlyArray<{ readonly name: string }>
  readonly problem: { readonly code: string } | null
}

/** For its owner alone, as a file with passwords should be. */
const write = ({ directory }: Station, name: string, text: string, mode = 0o600) => {
  writeFileSync(join(directory, name), text)
  chmodSync(join(directory, name), mode)
}

const show = Effect.fnUntraced(function* (where: Station, extra: Extra = {}, ...args: ReadonlyArray<string>) {
  const { code, stderr, stdout } = yield* mosaic(where, ["config", "show", "--json", ...args], extra)
  assert.deepStrictEqual([code, stderr], [0, ""])
  assert.notInclude(stdout, "hunter2")
  const document = documentOf<Shown>(stdout)
  const of = (name: string) => {
    const setting = document.settings.find((one) => one.name === name)
    return [setting?.value, setting?.source]
  }
  return { ...document, of }
})

const refusal = Effect.fnUntraced(function* (where: Station, args: ReadonlyArray<string>, extra: Extra = {}) {
  const { code, stdout } = yield* mosaic(where, [...args, "--json"], extra)
  assert.strictEqual(code, 8)
  assert.notInclude(stdout, "hunter2")
  const { error } = documentOf<ErrorDocument>(stdout)
  return { code: error.code, message: error.message, remediation: error.remediation }
})

const nobody = "postgresql://m:hunter2@127.0.0.1:1/m"
const federated = `{
  "tier": "federated",
  "database": "${nobody}",
  "queue": "redis://:hunter2@127.0.0.1:2"
}
`

describe("mosaic.config.json", () => {
  it.live("is found in the working directory, by MOSAIC_CONFIG, by --config, the last first", () =>
    Effect.gen(function* () {
      const where = yield* station()
      assert.deepInclude(yield* show(where), { tier: "local", file: null })
      write(where, "mosaic.config.json", federated)
      assert.deepInclude(yield* show(where), { tier: "federated", file: "mosaic.config.json" })
      mkdirSync(join(where.directory, "etc"))
      write(where, "etc/a.json", '{"tier": "local"}')
      write(where, "etc/b.json", `{"tier": "local", "database": "${nobody}"}`)
      const named = { MOSAIC_CONFIG: "etc/a.json" }
      assert.deepInclude(yield* show(where, named), { tier: "local", file: "etc/a.json" })
      const other = yield* show(where, named, "--config", "etc/b.json")
      assert.deepInclude(other, { tier: "local", file: "etc/b.json" })
      assert.deepStrictEqual(other.of("database"), [
        "postgresql://m:****@127.0.0.1:1/m",
        "etc/b.json:database"
      ])
    })
  )

  it.live("that is named must be there", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const grants = ["federation", "grant", "list"]
      const remediation = (source: string) =>
        `make absent.json readable for this user (ls -l absent.json), or set ${source} to the right path`
      assert.deepStrictEqual(yield* refusal(where, [...grants, "--config", "absent.json"]), {
        code: "CONFIG_FILE_UNREADABLE",
        message: "--config names absent.json, which cannot be read: no such file",
        remediation: remediation("--config")
      })
      assert.deepStrictEqual(yield* refusal(where, grants, { MOSAIC_CONFIG: "absent.json" }), {
        code: "CONFIG_FILE_UNREADABLE",
        message: "MOSAIC_CONFIG names absent.json, which cannot be read: no such file",
        remediation: remediation("MOSAIC_CONFIG")
      })
    })
  )

  it.live("is overridden by DATABASE_URL and REDIS_URL, and their files", () =>
    Effect.gen(function* () {
      const where = yield* station()
      write(where, "mosaic.config.json", federated)
      const both = yield* show(where, {
        DATABASE_URL: "postgresql://x:hunter2@db/x",
        REDIS_URL: "rediss://v"
      })
      assert.deepStrictEqual(both.of("tier"), ["federated", "mosaic.config.json:tier"])
      assert.deepStrictEqual(both.of("database"), ["postgresql://x:****@db/x", "DATABASE_URL"])
      assert.deepStrictEqual(both.of("queue"), ["rediss://v", "REDIS_URL"])
      write(where, "url", "redis://:hunter2@w\n")
      const file = yield* show(where, { REDIS_URL_FILE: "url" })
      assert.deepStrictEqual(file.of("queue"), ["redis://:****@w", "REDIS_URL_FILE"])
      assert.deepStrictEqual(file.of("database"), [
        "postgresql://m:****@127.0.0.1:1/m",
        "mosaic.config.json:database"
      ])
      assert.deepStrictEqual(yield* refusal(where, ["config", "show"], { REDIS_URL: "http://:hunter2@h" }), {
        code: "CONFIG_INVALID",
        message: "REDIS_URL: the scheme is http, not redis or rediss",
        remediation:
          "set REDIS_URL to redis://:PASSWORD@HOST:6380, or rediss://:PASSWORD@HOST:6380 over a network"
      })
    })
  )

  it.live("without a file, both services make the tier federated, one of them does not", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const database = { DATABASE_URL: nobody }
      assert.strictEqual((yield* show(where, database)).tier, "local")
      const both = yield* show(where, { ...database, REDIS_URL: "redis://v" })
      assert.deepStrictEqual(both.of("tier"), ["federated", "DATABASE_URL and REDIS_URL"])
      const queue = yield* show(where, { REDIS_URL: "redis://v" })
      assert.deepStrictEqual(queue.of("queue"), ["redis://v (not used in the local tier)", "REDIS_URL"])
    })
  )

  it.live("of the federated tier names both services, or the environment does", () =>
    Effect.gen(function* () {
      const where = yield* station()
      write(where, "mosaic.config.json", '{\n  "tier": "federated"\n}')
      const create = ["federation", "grant", "create", "--user", user, "--peer", "p"]
      assert.deepStrictEqual(yield* refusal(where, create), {
        code: "TIER_INCOMPLETE",
        message:
          'mosaic.config.json:2:11: "tier" is "federated", but neither "database" nor DATABASE_URL is set',
        remediation:
          'add "database" to mosaic.config.json or set DATABASE_URL: postgresql://USER:PASSWORD@HOST:5432/DATABASE, with ?sslmode=verify-full over a network'
      })
      const { message } = yield* refusal(where, create, { DATABASE_URL: nobody })
      assert.include(message, 'neither "queue" nor REDIS_URL is set')
      const both = yield* show(where, { DATABASE_URL: nobody, REDIS_URL: "redis://v" })
      assert.strictEqual(both.tier, "federated")
    })
  )

  it.live("is refused by every command that reads it, three lines for people", () =>
    Effect.gen(function* () {
      const where = yield* station()
      write(where, "mosaic.config.json", '{\n  "tier": "local",\n  "databse": "hunter2"\n}')
      const grantId = "0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c"
      for (const args of [
        ["federation", "grant", "list"],
        ["federation", "grant", "show", grantId],
        ["federation", "cert", "list"],
        ["config", "show"],
        ["db", "status"],
        ["db", "migrate"]
      ]) {
        assert.deepStrictEqual(
          yield* mosaic(where, args),
          {
            code: 8,
            stdout: "",
            stderr: `The configuration file has a key that means nothing (CONFIG_KEY_UNKNOWN)
  why: mosaic.config.json:3:3: there is no key "databse"; did you mean "database"?
  do:  in line 3 of mosaic.config.json, write "database"; the keys are tier, database, queue
`
          },
          args.join(" ")
        )
      }
      // What needs no settings does not ask for them.
      assert.strictEqual((yield* mosaic(where, ["federation", "errors"])).code, 0)
    })
  )

  it.live("names the database that commands use", () =>
    Effect.gen(function* () {
      const where = yield* station()
      write(where, "mosaic.config.json", federated)
      for (const args of [
        ["federation", "grant", "list"],
        ["federation", "cert", "list"],
        ["db", "status"],
        ["db", "migrate"]
      ]) {
        const { code, stderr } = yield* mosaic(where, args)
        assert.strictEqual(code, 7, args.join(" "))
        assert.include(stderr, "ECONNREFUSED 127.0.0.1:1")
        assert.notInclude(stderr, "hunter2")
      }
    })
  )

  it.live("with a password in it is for its owner alone: others are warned of, once", () =>
    Effect.gen(function* () {
      const where = yield* station()
      write(where, "mosaic.config.json", federated, 0o644)
      const { code, stderr } = yield* mosaic(where, ["config", "show", "--json"])
      assert.strictEqual(code, 0)
      const warning =
        "mosaic.config.json holds a password and can be read by other users: chmod 600 mosaic.config.json"
      assert.strictEqual(stderr.split(warning).length, 2, stderr)
      assert.notInclude(stderr, "hunter2")
      const status = yield* mosaic(where, ["db", "status"])
      assert.strictEqual(status.stderr.split(warning).length, 2, status.stderr)
      write(where, "mosaic.config.json", '{"tier": "local"}', 0o644)
      yield* show(where)
    })
  )
})

describe("mosaic config", () => {
  it.live("shows every setting with its source, and what is missing", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const nothing = yield* show(where)
      assert.deepStrictEqual(
        nothing.missing.map(({ name }) => name),
        [
          "STEP_CA_URL",
          "STEP_CA_ROOT_CERT_PATH",
          "STEP_CA_PROVISIONER_KEY_JSON",
          "STEP_CA_PROVISIONER_PASSWORD"
        ]
      )
      assert.deepStrictEqual(nothing.of("STEP_CA_PROVISIONER"), ["mosaic-fed", "default"])
      assert.deepStrictEqual(nothing.of("STEP_CA_URL"), [null, null])
      assert.deepStrictEqual(nothing.of("MOSAIC_HOME"), [where.environment["MOSAIC_HOME"], "MOSAIC_HOME"])
      write(where, "password", "hunter2\n")
      const all = yield* show(where, {
        STEP_CA_URL: "https://ca:hunter2@ca.example:9000",
        STEP_CA_ROOT_CERT_PATH: "root_ca.crt",
        STEP_CA_PROVISIONER_KEY_JSON: '{"kty":"EC","d":"hunter2"}',
        STEP_CA_PROVISIONER_PASSWORD_FILE: "password",
        STEP_CA_PROVISIONER_KID: '{"kty":"EC","d":"hunter2"}',
        MOSAIC_CERT_MAX: "12h"
      })
      assert.deepStrictEqual(all.missing, [])
      assert.deepStrictEqual(all.of("STEP_CA_URL"), ["https://ca:****@ca.example:9000", "STEP_CA_URL"])
      assert.deepStrictEqual(all.of("STEP_CA_PROVISIONER_KEY_JSON"), [
        "(set, not shown)",
        "STEP_CA_PROVISIONER_KEY_JSON"
      ])
      assert.deepStrictEqual(all.of("STEP_CA_PROVISIONER_PASSWORD"), [
        "(set, not shown)",
        "STEP_CA_PROVISIONER_PASSWORD_FILE"
      ])
      assert.deepStrictEqual(all.of("STEP_CA_PROVISIONER_KID"), [
        "(set, not shown)",
        "STEP_CA_PROVISIONER_KID"
      ])
      assert.deepStrictEqual(all.of("MOSAIC_CERT_MAX"), ["12h", "MOSAIC_CERT_MAX"])
      assert.strictEqual(all.problem?.code, "CONFIG_INVALID")
    })
  )

  it.live("shows the same to people", () =>
    Effect.gen(function* () {
      const where = yield* station()
      write(where, "mosaic.config.json", federated)
      const { code, stderr, stdout } = yield* mosaic(where, ["config", "show"])
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.match(stdout, /^Tier: federated {2}Config: mosaic\.config\.json\n/)
      assert.match(
        stdout,
        /^database +postgresql:\/\/m:\*{4}@127\.0\.0\.1:1\/m +mosaic\.config\.json:database$/m
      )
      assert.match(stdout, /^STEP_CA_URL +- +not set$/m)
      assert.match(stdout, /^Missing, to issue certificates:\n {2}STEP_CA_URL: the CA's https URL/m)
      assert.notInclude(stdout, "hunter2")
    })
  )

  it.live("prints the schema for editors", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* mosaic(yield* station(), ["config", "schema"])
      assert.strictEqual(code, 0)
      const { properties } = JSON.parse(stdout) as { readonly properties: object }
      assert.deepStrictEqual(Object.keys(properties), ["$schema", "tier", "database", "queue"])
    })
  )
})
