/** What holds for every command: help, versions, usage errors, the two streams, and the last resort. */
import { closeSync, openSync, readFileSync } from "node:fs"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { assert, describe, it } from "@effect/vitest"
import { catalogue } from "@mosaic-federation/domain/MosaicError"
import { Clock, Effect } from "effect"
import { runMosaic } from "../src/MosaicCommand.ts"
import { version } from "../src/version.ts"
import { documentOf, type ErrorDocument, launcher, mosaic, start, station } from "./support/mosaic.ts"

const commands = [
  [],
  ["federation"],
  ["federation", "grant"],
  ["federation", "grant", "create"],
  ["federation", "grant", "list"],
  ["federation", "grant", "show"],
  ["federation", "grant", "revoke"],
  ["federation", "cert"],
  ["federation", "cert", "issue"],
  ["federation", "cert", "inspect"],
  ["federation", "cert", "verify"],
  ["federation", "cert", "list"],
  ["federation", "cert", "export"],
  ["federation", "errors"],
  ["config"],
  ["config", "show"],
  ["config", "schema"],
  ["db"],
  ["db", "migrate"],
  ["db", "status"]
]

const usage = (problem: RegExp, help: string, args: ReadonlyArray<string>) =>
  it.live(`usage: ${problem.source}`, () =>
    Effect.gen(function* () {
      const where = yield* station()
      const people = yield* mosaic(where, args)
      assert.strictEqual(people.code, 2)
      assert.strictEqual(people.stdout, "")
      const [what, why, remedy, end] = people.stderr.split("\n")
      assert.strictEqual(what, "The command line is not understood (USAGE_INVALID)")
      assert.match(why ?? "", problem)
      assert.strictEqual(remedy, `  do:  see ${help}`)
      assert.strictEqual(end, "")

      const program = yield* mosaic(where, [...args, "--json"])
      assert.strictEqual(program.code, 2)
      assert.strictEqual(program.stderr, "")
      const { error } = documentOf<ErrorDocument>(program.stdout)
      assert.strictEqual(error.code, "USAGE_INVALID")
      assert.match(`  why: ${error.message}`, problem)
      assert.strictEqual(error.remediation, `see ${help}`)
      assert.strictEqual(error.exitCode, 2)
    })
  )

const grantId = "0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c"
const create = ["federation", "grant", "create", "--user", grantId, "--peer", "p"]
const issue = ["federation", "cert", "issue", "--grant", grantId, "--cert-out", "c.crt"]

describe("mosaic", () => {
  it.live("has the version of its package", () =>
    Effect.gen(function* () {
      const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
        readonly version: string
      }
      assert.strictEqual(version, manifest.version)
      const ran = yield* mosaic(yield* station(), ["--version"])
      assert.deepStrictEqual(ran, { code: 0, stdout: `mosaic v${manifest.version}\n`, stderr: "" })
    })
  )

  it.live("explains every command, the last ones with examples", () =>
    Effect.gen(function* () {
      const where = yield* station()
      for (const words of commands) {
        const { code, stderr, stdout } = yield* mosaic(where, [...words, "--help"])
        assert.deepStrictEqual([code, stderr], [0, ""])
        assert.include(stdout, `USAGE\n  ${["mosaic", ...words].join(" ")}`)
        assert.match(stdout, /DESCRIPTION\n {2}\S/)
        if (!stdout.includes("SUBCOMMANDS")) {
          assert.match(stdout, /EXAMPLES\n {2}# .+\n {2}mosaic /, words.join(" "))
        }
      }
    })
  )

  it.live("alone, shows what there is", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* mosaic(yield* station(), [])
      assert.strictEqual(code, 0)
      assert.include(stdout, "SUBCOMMANDS")
    })
  )

  it.live("prints completions for each shell, which name every command", () =>
    Effect.gen(function* () {
      const where = yield* station()
      for (const shell of ["bash", "zsh", "fish", "powershell"]) {
        const { code, stdout } = yield* mosaic(where, ["--completions", shell])
        assert.strictEqual(code, 0)
        for (const word of commands.flat()) assert.include(stdout, word, shell)
      }
    })
  )

  usage(/a command is missing after mosaic federation grant$/, "mosaic federation grant --help", [
    "federation",
    "grant"
  ])
  usage(/Unknown subcommand "grnt".*Did you mean this\? grant/, "mosaic federation --help", [
    "federation",
    "grnt"
  ])
  usage(/Unrecognized flag: --pear.*Did you mean this\? --peer/, "mosaic federation grant list --help", [
    "federation",
    "grant",
    "list",
    "--pear",
    "x"
  ])
  usage(
    /"-1h" is no flag; a value that begins with a dash goes behind its flag and =$/,
    "mosaic federation cert list --help",
    ["federation", "cert", "list", "--expiring", "-1h"]
  )
  usage(
    /Invalid value for flag --expiring: "-1h"\. Expected a period/,
    "mosaic federation cert list --help",
    ["federation", "cert", "list", "--expiring=-1h"]
  )
  usage(/Missing required flag: --grant/, "mosaic federation cert issue --help", [
    "federation",
    "cert",
    "issue",
    "--cert-out",
    "x"
  ])
  usage(/--grant: "ABC". Expected a canonical lower-case UUID/, "mosaic federation cert issue --help", [
    "federation",
    "cert",
    "issue",
    "--grant",
    "ABC",
    "--csr",
    "-",
    "--cert-out",
    "x"
  ])
  usage(/--peer: "2 occurrences"/, "mosaic federation grant create --help", [...create, "--peer", "q"])
  usage(/--scope orders:read is given twice/, "mosaic federation grant create --help", [
    ...create,
    "--scope",
    "orders:read",
    "--scope",
    "orders:read"
  ])
  usage(/--scope is given 65 times, at most 64 are kept/, "mosaic federation grant create --help", [
    ...create,
    ...Array.from({ length: 65 }, (_, index) => ["--scope", `s${index}`]).flat()
  ])
  usage(/--expires-in and --expires-at are both given/, "mosaic federation grant create --help", [
    ...create,
    "--expires-in",
    "1d",
    "--expires-at",
    "2090-01-01T00:00:00Z"
  ])
  usage(/--expires-at 2020-01-01T00:00:00.000Z lies in the past/, "mosaic federation grant create --help", [
    ...create,
    "--expires-at",
    "2020-01-01T01:00:00+01:00"
  ])
  usage(/Expected a time with its zone/, "mosaic federation grant create --help", [
    ...create,
    "--expires-at",
    "2090-01-01T00:00:00"
  ])
  usage(
    /Expected a time with its zone \(RFC 3339\) that the calendar has/,
    "mosaic federation grant change --help",
    ["federation", "grant", "change", grantId, "--expires-at", "2090-02-31T00:00:00Z"]
  )
  usage(/Expected a period of at most ten years/, "mosaic federation grant create --help", [
    ...create,
    "--expires-in",
    "99999d"
  ])
  usage(/Expected a number from 1 to 1000/, "mosaic federation grant list --help", [
    "federation",
    "grant",
    "list",
    "--limit",
    "0"
  ])
  usage(/Expected 1 to 500 characters/, "mosaic federation grant revoke --help", [
    "federation",
    "grant",
    "revoke",
    grantId,
    "--reason",
    " "
  ])
  usage(/--csr and --key-out are both given/, "mosaic federation cert issue --help", [
    ...issue,
    "--csr",
    "-",
    "--key-out",
    "k"
  ])
  usage(/one of --csr FILE .* and --key-out FILE .* is needed/, "mosaic federation cert issue --help", issue)
  usage(/--key-type goes with --key-out/, "mosaic federation cert issue --help", [
    ...issue,
    "--csr",
    "-",
    "--key-type",
    "p384"
  ])
  usage(/--cert-out names the same file as --key-out/, "mosaic federation cert issue --help", [
    ...issue,
    "--key-out",
    "./c.crt"
  ])
  usage(/"1.5h"\. Expected a duration such as 24h/, "mosaic federation cert issue --help", [
    ...issue,
    "--csr",
    "-",
    "--lifetime",
    "1.5h"
  ])
  usage(/--root is not given and STEP_CA_ROOT_CERT_PATH is not set/, "mosaic federation cert verify --help", [
    "federation",
    "cert",
    "verify",
    "x.crt"
  ])
  usage(
    /there is no error GRANT_REVOKD; did you mean GRANT_REVOKED\?/,
    "mosaic federation errors for the list of all",
    ["federation", "errors", "GRANT_REVOKD"]
  )

  it.live("takes no secret from the command line", () =>
    Effect.gen(function* () {
      const where = yield* station()
      for (const words of commands) {
        const { stdout } = yield* mosaic(where, [...words, "--help"])
        // The name of a file is no secret.
        assert.notMatch(
          stdout,
          /--(?!\S*-file\b)\S*(?:password|secret|token|key-json|database)/i,
          words.join(" ")
        )
      }
    })
  )

  it.live("lists and explains every error", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const all = yield* mosaic(where, ["federation", "errors", "--json"])
      assert.deepStrictEqual(documentOf<{ errors: unknown }>(all.stdout).errors, catalogue)
      const table = yield* mosaic(where, ["federation", "errors"])
      for (const { code, exitCode } of catalogue) {
        assert.match(table.stdout, new RegExp(`^${code} +${exitCode} `, "m"))
      }
      const one = yield* mosaic(where, ["federation", "errors", "certificate-withheld"])
      assert.include(one.stdout, "(CERTIFICATE_WITHHELD)")
      assert.match(one.stdout, /exit code +6/)
    })
  )

  it.live("refuses a log level that it does not know", () =>
    Effect.gen(function* () {
      const ran = yield* mosaic(yield* station({ MOSAIC_LOG_LEVEL: "loud" }), [
        "federation",
        "errors",
        "--json"
      ])
      assert.strictEqual(ran.code, 8)
      const { error } = documentOf<ErrorDocument>(ran.stdout)
      assert.strictEqual(error.code, "CONFIG_INVALID")
      assert.strictEqual(error.message, 'MOSAIC_LOG_LEVEL: "loud" is no log level')
      assert.include(error.remediation, "all, trace, debug, info, warn")
    })
  )

  it.live("does not mind a reader that has seen enough", () =>
    Effect.gen(function* () {
      const child = start(yield* station(), ["federation", "errors"])
      child.stdin.end()
      child.stdout.destroy()
      const [stderr, [code]] = yield* Effect.promise(() =>
        Promise.all([text(child.stderr), once(child, "exit")])
      )
      assert.deepStrictEqual([code, stderr], [0, ""])
    })
  )

  it.live("says so where standard output is full, on standard error even with --json", () =>
    Effect.gen(function* () {
      const { directory, environment } = yield* station()
      for (const args of [
        ["federation", "errors"],
        ["federation", "errors", "--json"],
        ["federation", "x", "--json"]
      ]) {
        const full = openSync("/dev/full", "w")
        const child = spawn(process.execPath, [launcher, ...args], {
          cwd: directory,
          env: environment,
          stdio: ["ignore", full, "pipe"]
        })
        closeSync(full)
        assert(child.stderr !== null)
        const [stderr, [code]] = yield* Effect.promise(() =>
          Promise.all([text(child.stderr as NonNullable<typeof child.stderr>), once(child, "exit")])
        )
        if (args[1] === "x") {
          assert.include(stderr, "(USAGE_INVALID)")
          assert.strictEqual(code, 2)
        } else {
          assert.include(stderr, "(OUTPUT_UNWRITABLE)\n  why: standard output: ")
          assert.include(stderr, "do:  send it elsewhere")
          assert.strictEqual(code, 7)
        }
      }
    })
  )

  it.live("reports a defect as one, with exit code 70 and its trace only on demand", () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      const write = process.stderr.write.bind(process.stderr)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.stderr.write = ((chunk: string, done?: () => void) => {
            written.push(chunk)
            done?.()
            return true
          }) as typeof process.stderr.write
        }),
        () => Effect.sync(() => (process.stderr.write = write))
      )
      const broken = new Error("the clock fell off the wall\nand broke")
      const clock = yield* Clock.Clock
      const code = yield* runMosaic(["federation", "grant", "list"]).pipe(
        Effect.provideService(
          Clock.Clock,
          Object.assign(Object.create(clock) as Clock.Clock, { currentTimeMillis: Effect.die(broken) })
        )
      )
      assert.strictEqual(code, 70)
      assert.deepStrictEqual(written.join("").split("\n"), [
        "A defect in this program (INTERNAL_ERROR)",
        "  why: Error: the clock fell off the wall",
        "  do:  run the command again with MOSAIC_LOG_LEVEL=debug and report what it prints",
        ""
      ])
    })
  )
})
