/** `mosaic gateway doctor` as a process: what people and programs are told, and with which exit code. */
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { createInterface } from "node:readline"
import { assert, it, layer } from "@effect/vitest"
import { DoctorReport } from "@mosaic-federation/domain/DoctorReport"
import { federated } from "@mosaic-federation/testing/federated"
import { FederatedParts } from "@mosaic-federation/testing/FederatedParts"
import { makeTcpServer } from "@mosaic-federation/testing/HostileServer"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { Effect, Redacted, Schema } from "effect"
import {
  documentOf,
  type ErrorDocument,
  finish,
  launcher,
  mosaic,
  start,
  type Station,
  station
} from "./support/mosaic.ts"

const page = readFileSync(new URL("../../../docs/federation/doctor.md", import.meta.url), "utf8")

const decode = Schema.decodeUnknownSync(DoctorReport)

const doctor = (where: Station, ...args: ReadonlyArray<string>) =>
  mosaic(where, ["gateway", "doctor", ...args])

/** Busy machines are slow, and how long it takes is said by one test alone. */
const patient = ["--timeout", "60s"]

const atCa = Effect.gen(function* () {
  const { environment } = yield* StepCaProcess
  return yield* station(environment)
})

layer(StepCaProcess.layer(), { timeout: "120 seconds", excludeTestServices: true })(
  "gateway doctor",
  (it) => {
    it.effect("in the local tier, checks what is there; a warning is a failure with --strict alone", () =>
      Effect.gen(function* () {
        const where = yield* atCa
        const { code, stderr, stdout } = yield* doctor(where, "--deep", ...patient)
        assert.deepStrictEqual([code, stderr], [0, ""], stdout)
        const lines = stdout.trimEnd().split("\n")
        assert.deepStrictEqual(lines.slice(0, 1), ["Tier: local  Config: none"])
        assert.match(lines[1] ?? "", /^✓ postgres \(embedded\) \(\d+ms\)$/)
        assert.match(lines[2] ?? "", /^✓ schema version \d+ \(\d+ms\)$/)
        assert.notMatch(stdout, /valkey|pgvector/)
        assert.match(stdout, /^✓ closed loop grant \d+ms, issue \d+ms, .* \(\d+ms\)$/m)
        // The root's key of a CA that was just made lies beside it.
        assert.match(
          stdout,
          /^! root key \(\d+ms\)\n {4}why: \S+root_ca_key is the root's private key: .*\n {4}do: {2}move it, .*: STEPPATH=\S+ MOSAIC_ROOT_KEY_OUT=\S+ infra\/step-ca\/init\.sh init$/m
        )
        assert.strictEqual(stdout.match(/^[✗–]/gm), null, stdout)
        const strict = yield* doctor(where, "--strict", ...patient)
        assert.deepStrictEqual(
          [strict.code, strict.stderr],
          [
            10,
            `Everything works, and something will not for long or is not safe (DOCTOR_WARNED)
  why: warned: root key
  do:  do what the report says below each !, then look again: mosaic gateway doctor --strict
`
          ]
        )
      })
    )

    it.effect("without settings says which, with the exit code of configuration, and checks the rest", () =>
      Effect.gen(function* () {
        const where = yield* station()
        const { code, stdout } = yield* doctor(where, "--json", ...patient)
        const { error, ...report } = documentOf<ErrorDocument>(stdout)
        assert.deepStrictEqual([code, error.code], [8, "CONFIG_MISSING"])
        const { checks, status } = decode(report)
        assert.strictEqual(status, "failed")
        const statusOf = (id: string) => checks.find((check) => check.id === id)?.status
        assert.deepStrictEqual(["settings", "postgres", "schema", "ca", "loop"].map(statusOf), [
          "failed",
          "ok",
          "ok",
          "skipped",
          undefined
        ])
      })
    )

    it.effect("a file or an option that is wrong ends it before it looks", () =>
      Effect.gen(function* () {
        const where = yield* atCa
        writeFileSync(join(where.directory, "mosaic.config.json"), '{"tier": "galactic"}')
        const file = yield* doctor(where, "--json")
        assert.deepStrictEqual(
          [file.code, documentOf<ErrorDocument>(file.stdout).error.code],
          [8, "CONFIG_VALUE_INVALID"]
        )
        const option = yield* doctor(where, "--timeout", "soon", "--json")
        assert.deepStrictEqual(
          [option.code, documentOf<ErrorDocument>(option.stdout).error.code],
          [2, "USAGE_INVALID"]
        )
      })
    )

    it.effect("--watch looks again until interrupted, one document a line", () =>
      Effect.gen(function* () {
        const where = yield* atCa
        const child = start(where, ["gateway", "doctor", "--watch", "--interval", "1s", "--json", ...patient])
        const reports: Array<DoctorReport> = []
        const lines = createInterface({ input: child.stdout })
        yield* Effect.promise(
          () =>
            new Promise<void>((resolve) => {
              lines.on("line", (line) => {
                reports.push(decode(JSON.parse(line)))
                if (reports.length === 2) resolve()
              })
            })
        )
        child.kill("SIGINT")
        const { code } = yield* Effect.promise(() => finish(child))
        assert.strictEqual(code, 0)
        assert.deepStrictEqual(
          reports.slice(0, 2).map(({ status }) => status),
          ["warning", "warning"]
        )
      })
    )
  }
)

federated("gateway doctor in the federated tier", () => {
  it.live("all is well; then Valkey is away, and PostgreSQL takes connections and is silent", () =>
    Effect.gen(function* () {
      const { parts, where } = yield* Effect.gen(function* () {
        const place = yield* station()
        const ca = yield* StepCaProcess.make({
          env: { MOSAIC_ROOT_KEY_OUT: join(place.environment["HOME"] ?? "", "root_ca_key") }
        })
        return {
          parts: yield* FederatedParts.make(),
          where: { ...place, environment: { ...place.environment, ...ca.environment } }
        }
      })
      const { postgres, valkey } = parts
      const configure = (database: string) =>
        writeFileSync(
          join(where.directory, "mosaic.config.json"),
          JSON.stringify({ tier: "federated", database, queue: Redacted.value(valkey.url) }),
          { mode: 0o600 }
        )
      const database = Redacted.value(postgres.url)
      configure(database)
      const well = yield* doctor(where, "--deep", "--strict", ...patient)
      assert.deepStrictEqual([well.code, well.stderr], [0, ""], well.stdout)
      const lines = well.stdout.trimEnd().split("\n")
      assert.strictEqual(lines[0], "Tier: federated  Config: mosaic.config.json")
      const escaped = (server: { readonly host: string; readonly port: number }) =>
        `127\\.0\\.0\\.1:${server.port}`
      assert.match(lines[1] ?? "", new RegExp(`^✓ postgres ${escaped(postgres)} \\(\\d+ms\\)$`))
      assert.match(lines[2] ?? "", new RegExp(`^✓ valkey ${escaped(valkey)} \\(\\d+ms\\)$`))
      assert.match(lines[3] ?? "", /^✓ pgvector \(embedded\) \(\d+ms\)$/)
      for (const line of lines.slice(1)) assert.match(line, /^✓ .* \(\d+ms\)$/)

      const { jq } = yield* stepTools()
      const bin = join(where.environment["HOME"] ?? "", "bin")
      mkdirSync(bin)
      writeFileSync(join(bin, "mosaic"), `#!/bin/sh\nexec '${process.execPath}' '${launcher}' "$@"\n`, {
        mode: 0o755
      })
      symlinkSync(jq.path, join(bin, "jq"))
      const [, commands = ""] = /^```sh\n([^]*?)^```$/m.exec(page) ?? []
      const { status, stderr } = spawnSync("sh", ["-euc", commands], {
        cwd: where.directory,
        env: { ...where.environment, PATH: `${bin}${delimiter}${where.environment["PATH"] ?? ""}` },
        encoding: "utf8"
      })
      assert.deepStrictEqual([status, stderr], [0, ""], commands)
      const json = yield* doctor(where, "--deep", "--json", ...patient)
      assert.deepStrictEqual(
        decode(documentOf(json.stdout)).checks.map(({ id }) => id),
        [...page.matchAll(/^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$/gm)].map(([, id]) => id)
      )

      yield* valkey.stop
      const away = yield* doctor(where, ...patient)
      assert.deepStrictEqual(
        [away.code, away.stderr],
        [
          11,
          [
            "Not everything works (DOCTOR_FAILED)",
            "  why: failed: valkey",
            "  do:  do what the report says below each ✗, then look again: mosaic gateway doctor",
            ""
          ].join("\n")
        ],
        away.stdout
      )
      assert.match(
        away.stdout,
        /^✗ valkey \S+ \(\d+ms\)\n {4}why: .*ECONNREFUSED.*\n {4}do: {2}.*: docker compose -f docker-compose\.federated\.yml --profile federated up -d valkey-federated$/m
      )
      yield* valkey.start

      const silent = yield* makeTcpServer(() => undefined)
      const mute = new URL(database)
      mute.port = String(silent.port)
      mute.searchParams.set("connect_timeout", "600")
      configure(mute.href)
      const begun = Date.now()
      const muted = yield* doctor(where)
      const took = Date.now() - begun
      assert.strictEqual(muted.code, 11)
      assert.match(muted.stdout, /^✗ postgres \S+ \(\d+ms\)$/m)
      assert.match(muted.stdout, /^– schema version skipped: needs postgres$/m)
      assert.match(muted.stdout, /^✓ valkey /m)
      // Five seconds are the command's; the rest is for a busy machine to start it.
      assert.isBelow(took, 60_000)
    }).pipe(Effect.scoped)
  )
})
