/**
 * What the gateway costs: bare `/1.0/sign` with tokens made beforehand against whole issuances through `mosaic gateway
 * serve` over HTTPS with an API key, by the same load generator, in turns, on the same CA, in one run. Each part is a real
 * process; the figures to go by are the ratios, for all of them share this machine.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import * as Database from "@mosaic-federation/issuance/Database"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { randomSerial } from "@mosaic-federation/issuance/randomSerial"
import { randomJti, TokenSigner } from "@mosaic-federation/issuance/TokenSigner"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { CurrentProgress } from "@mosaic-federation/testing/Progress"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import * as CertificateRequest from "@mosaic-federation/x509/CertificateRequest"
import { ConfigProvider, DateTime, Duration, Effect, Layer, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { cpuMillis } from "./cpuTime.ts"
import type { LoadJob } from "./generator.ts"
import type { Load } from "./load.ts"

export interface BenchOptions {
  /** Connections, and requests in each round. */
  readonly loads: ReadonlyArray<readonly [connections: number, requests: number]>
  readonly rounds: number
  /** Requests to each part before anything is measured. */
  readonly warmUp: number
  /** Options of Node for the gateway, such as `--cpu-prof`. */
  readonly nodeOptions: ReadonlyArray<string>
}

/** CPU per issuance in ms. */
interface Cpu {
  readonly gateway: number
  readonly postgres: number
  readonly ca: number
}

interface Measured extends Load {
  readonly cpu: Cpu
}

export interface Row {
  readonly connections: number
  readonly requests: number
  readonly bare: Measured
  readonly whole: Measured
  /** Rate of whole issuances over that of bare signing: of each round, and their median. */
  readonly ratios: ReadonlyArray<number>
  readonly ratio: number
  readonly cpuGatewayOverCa: number
}

export interface BenchResult {
  readonly machine: { readonly cores: number; readonly model: string; readonly node: string }
  readonly postgres: Readonly<Record<string, string>>
  readonly rows: ReadonlyArray<Row>
}

const launcher = fileURLToPath(new URL("../packages/cli/bin/mosaic.mjs", import.meta.url))
const generator = fileURLToPath(new URL("generator.ts", import.meta.url))

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")

/** No limit is reached, and each is counted all the same. */
const unlimited = {
  MOSAIC_RATE_PER_KEY: "100000000/1s",
  MOSAIC_RATE_PER_GRANT: "100000000/1s",
  MOSAIC_RATE_PER_ADDRESS: "100000000/1s"
}

const median = (values: ReadonlyArray<number>) =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-bench-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** A process that answers with JSON: what it printed first. */
const askProcess = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv, input = "") =>
  Effect.promise(async () => {
    const child = spawn(process.execPath, [...args], { env, stdio: ["pipe", "pipe", "inherit"] })
    child.stdin.end(input)
    const [answer, [code]] = await Promise.all([text(child.stdout), once(child, "exit")])
    if (code !== 0) throw new Error(`${args.join(" ")} ended with ${String(code)}`)
    return JSON.parse(answer) as unknown
  })

const startGateway = (env: NodeJS.ProcessEnv, nodeOptions: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const args = [...nodeOptions, launcher, "gateway", "serve", "--listen", "127.0.0.1:0", "--json"]
      const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "ignore"] })
      const lines = createInterface({ input: child.stdout })
      const [line] = (await Promise.race([
        once(lines, "line"),
        once(child, "exit").then(([code]) => {
          throw new Error(`the gateway ended with ${String(code)}: mosaic gateway serve tells why`)
        })
      ])) as [string]
      return { child, ...(JSON.parse(line) as { readonly url: string; readonly pid: number }) }
    }),
    ({ child }) =>
      Effect.promise(async () => {
        const ended = once(child, "exit")
        if (child.exitCode === null && child.kill("SIGTERM")) await ended
      })
  )

/** A round with failures in it measures nothing, so each ends the run. */
const generate = (job: LoadJob) =>
  Effect.map(askProcess([generator], process.env, JSON.stringify(job)), (answer) => answer as Load)

const postgresPid = (home: string) =>
  Number(readFileSync(join(home, "postgres", "17", "data", "postmaster.pid"), "utf8").split("\n")[0])

const durability = Effect.gen(function* () {
  const sql = yield* SqlClient
  const settings = ["server_version", "fsync", "synchronous_commit", "full_page_writes"]
  const rows = yield* sql<{ readonly name: string; readonly setting: string }>`
    SELECT name, setting FROM pg_settings WHERE name = ANY (${settings})`
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))
})

export const bench = Effect.fnUntraced(function* (options: BenchOptions) {
  const progress = yield* CurrentProgress
  progress.say("starting step-ca, PostgreSQL and the gateway")
  const ca = yield* StepCaProcess.make()
  const home = yield* temporaryDirectory
  const environment = { ...ca.environment, MOSAIC_HOME: home }
  const services = yield* Layer.build(
    Layer.mergeAll(GrantRepo.layerNoDeps, TokenSigner.layer).pipe(
      Layer.provideMerge(Database.layer),
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: environment })))
    )
  )
  return yield* Effect.gen(function* () {
    const grants = yield* GrantRepo
    const signer = yield* TokenSigner
    const grant = yield* grants.create(
      new NewGrant({
        subjectUserId: userId,
        peer: PeerName.make("gateway.example"),
        scopes: [],
        expiresAt: DateTime.addDuration(yield* DateTime.now, Duration.days(30))
      })
    )
    const env = { PATH: process.env["PATH"], HOME: home, ...environment, ...unlimited }
    const made = yield* askProcess(
      [launcher, "gateway", "key", "create", "--name", "bench", "--scope", "issue", "--json"],
      env
    )
    const { key } = made as { readonly key: string }
    const gateway = yield* startGateway(env, options.nodeOptions)
    const pids = { gateway: gateway.pid, postgres: postgresPid(home), ca: ca.pid() ?? 0 }

    const signBody = Effect.fnUntraced(function* (pem: string) {
      const csr = Result.getOrThrow(CertificateRequest.parse(pem))
      const now = yield* DateTime.now
      const claims = {
        grantId: grant.id,
        subjectUserId: userId,
        serial: randomSerial(),
        csrSha256: csr.sha256Hex
      }
      const token = yield* signer.forSigning(claims, randomJti())
      return JSON.stringify({
        csr: csr.pem,
        ott: Redacted.value(token.value),
        notBefore: DateTime.formatIso(now),
        notAfter: DateTime.formatIso(DateTime.addDuration(now, Duration.hours(1)))
      })
    })

    /** Both measurements of a round, with CSRs of their own: the gateway signs none twice. */
    const round = Effect.fnUntraced(function* (connections: number, requests: number) {
      const csrs = yield* Effect.all(Array.from({ length: requests }, () => makeCsr("P-256")))
      const jobs = {
        bare: {
          url: ca.url,
          path: "/1.0/sign",
          warmUpPath: "/health",
          headers: {},
          bodies: yield* Effect.forEach(csrs, ({ pem }) => signBody(pem))
        },
        whole: {
          url: gateway.url,
          path: `/v1/grants/${grant.id}/certificates`,
          warmUpPath: "/healthz",
          headers: { authorization: `Bearer ${key}` },
          bodies: csrs.map(({ pem }) => JSON.stringify({ csr: pem }))
        }
      }
      const measure = Effect.fnUntraced(function* (job: Omit<LoadJob, "rootPem" | "connections">) {
        const used = () => [cpuMillis(pids.gateway), cpuMillis(pids.postgres), cpuMillis(pids.ca)] as const
        const before = used()
        const result = yield* generate({ ...job, rootPem: ca.rootPem, connections })
        const [inGateway, inPostgres, inCa] = used().map(
          (millis, index) => (millis - (before[index] ?? 0)) / requests
        )
        const cpu = { gateway: inGateway ?? 0, postgres: inPostgres ?? 0, ca: inCa ?? 0 }
        return { ...result, cpu } satisfies Measured
      })
      return { bare: yield* measure(jobs.bare), whole: yield* measure(jobs.whole) }
    })

    const together = (all: ReadonlyArray<Measured>): Measured => {
      const of = (pick: (one: Measured) => number) => mean(all.map(pick))
      return {
        perSecond: of(({ perSecond }) => perSecond),
        p50: of(({ p50 }) => p50),
        p99: of(({ p99 }) => p99),
        seconds: of(({ seconds }) => seconds),
        cpu: {
          gateway: of(({ cpu }) => cpu.gateway),
          postgres: of(({ cpu }) => cpu.postgres),
          ca: of(({ cpu }) => cpu.ca)
        }
      }
    }

    progress.say(`warming up: ${options.warmUp} requests to each`)
    yield* round(16, options.warmUp)
    const rows = yield* Effect.forEach(options.loads, ([connections, requests]) =>
      Effect.gen(function* () {
        const measured = yield* Effect.forEach(Array.from({ length: options.rounds }), (_, index) => {
          progress.say(
            `${connections} connections, round ${index + 1} of ${options.rounds}: ${requests} requests to each`
          )
          return round(connections, requests)
        })
        const bare = together(measured.map((one) => one.bare))
        const whole = together(measured.map((one) => one.whole))
        const ratios = measured.map((one) => one.whole.perSecond / one.bare.perSecond)
        return {
          connections,
          requests,
          bare,
          whole,
          ratios,
          ratio: median(ratios),
          cpuGatewayOverCa: whole.cpu.gateway / whole.cpu.ca
        } satisfies Row
      })
    )
    const [processor] = cpus()
    return {
      machine: { cores: cpus().length, model: processor?.model ?? "", node: process.version },
      postgres: yield* durability,
      rows
    } satisfies BenchResult
  }).pipe(Effect.provide(services))
}, Effect.scoped)
