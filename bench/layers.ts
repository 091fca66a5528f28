/**
 * What the issuance program costs, without HTTP in front: `Issuance.issue` in this process against bare `/1.0/sign` with
 * tokens made beforehand, by the same load generator, on the same CA, in one run.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { UserId } from "@mosaic-federation/domain/UserId"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Issuance } from "@mosaic-federation/issuance/Issuance"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { randomSerial } from "@mosaic-federation/issuance/randomSerial"
import { randomJti, TokenSigner } from "@mosaic-federation/issuance/TokenSigner"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import * as CertificateRequest from "@mosaic-federation/x509/CertificateRequest"
import { ConfigProvider, DateTime, Duration, Effect, Layer, Redacted, Result } from "effect"
import { cpuMillis } from "./cpuTime.ts"
import { load } from "./load.ts"

const counts = [
  [1, 200],
  [16, 800],
  [64, 800]
] as const

const say = (line: string) => void process.stdout.write(`${line}\n`)

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")

const program = Effect.gen(function* () {
  const ca = yield* StepCaProcess.make()
  const home = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-bench-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  )
  const services = yield* Layer.build(
    Layer.mergeAll(Issuance.layer, GrantRepo.layer, TokenSigner.layer, PinnedHttpClient.layer).pipe(
      Layer.provide(
        ConfigProvider.layer(ConfigProvider.fromEnv({ env: { ...ca.environment, MOSAIC_HOME: home } }))
      )
    )
  )
  yield* Effect.gen(function* () {
    const grants = yield* GrantRepo
    const issuance = yield* Issuance
    const signer = yield* TokenSigner
    const http = yield* PinnedHttpClient
    const grant = yield* grants.create(
      new NewGrant({
        subjectUserId: userId,
        peer: PeerName.make("gateway.example"),
        scopes: [],
        expiresAt: DateTime.addDuration(yield* DateTime.now, Duration.days(30))
      })
    )
    const run = Effect.runPromiseWith(services)
    const caPid = ca.pid() ?? 0
    const measure = Effect.fnUntraced(function* <Job>(
      name: string,
      jobs: ReadonlyArray<Job>,
      connections: number,
      one: (job: Job) => Promise<unknown>
    ) {
      const [own, theirs] = [process.cpuUsage(), cpuMillis(caPid)]
      const result = yield* Effect.promise(() => load(jobs, connections, one))
      const used = process.cpuUsage(own)
      const node = (used.user + used.system) / 1000 / jobs.length
      const step = (cpuMillis(caPid) - theirs) / jobs.length
      say(
        `${name.padEnd(10)} ${String(connections).padStart(3)} connections: ${result.perSecond.toFixed(0).padStart(5)}/s, p50 ${result.p50.toFixed(1)} ms, p99 ${result.p99.toFixed(1)} ms, CPU per issuance: this process ${node.toFixed(2)} ms, step-ca ${step.toFixed(2)} ms`
      )
      return result
    })
    for (const [connections, count] of counts) {
      // New ones for each load: a CSR that has its certificate is answered from the ledger.
      const chosen = yield* Effect.all(Array.from({ length: count }, () => makeCsr("P-256")))
      const requests = yield* Effect.forEach(chosen, ({ pem }) =>
        Effect.gen(function* () {
          const csr = Result.getOrThrow(CertificateRequest.parse(pem))
          const now = yield* DateTime.now
          const token = yield* signer.forSigning(
            {
              grantId: grant.id,
              subjectUserId: userId,
              serial: randomSerial(),
              csrSha256: csr.sha256Hex
            },
            randomJti()
          )
          return {
            csr: csr.pem,
            ott: Redacted.value(token.value),
            notBefore: DateTime.formatIso(now),
            notAfter: DateTime.formatIso(DateTime.addDuration(now, Duration.hours(1)))
          }
        })
      )
      const bare = yield* measure("bare sign", requests, connections, (body) =>
        run(
          http
            .request({ method: "POST", path: "/1.0/sign", body })
            .pipe(Effect.filterOrFail(({ status }) => status === 201))
        )
      )
      const whole = yield* measure("Issuance", chosen, connections, ({ pem }) =>
        run(issuance.issue(new IssueCertRequest({ grantId: grant.id, subjectUserId: userId, csrPem: pem })))
      )
      say(`  ratio ${(whole.perSecond / bare.perSecond).toFixed(2)}`)
    }
  }).pipe(Effect.provide(services))
}).pipe(Effect.scoped)

await Effect.runPromise(program)
