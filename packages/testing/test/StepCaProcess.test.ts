import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { get } from "node:https"
import { createServer, type AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { makeProvisionerKey } from "../src/ProvisionerKeys.ts"
import { type StepCaShape, StepCaProcess } from "../src/StepCaProcess.ts"

const ask = (ca: StepCaShape, path: string, rootPem = ca.rootPem) =>
  Effect.promise(
    () =>
      new Promise<string>((resolve) => {
        get(`${ca.url}${path}`, { ca: rootPem, agent: false }, (response) => {
          response.setEncoding("utf8")
          let body = ""
          response.on("data", (text: string) => (body += text)).on("end", () => resolve(body))
        }).once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      })
  )

interface Provisioner {
  readonly name: string
  readonly key: { readonly kty: string; readonly kid: string; readonly d?: string }
  readonly claims: { readonly minTLSCertDuration: string; readonly maxTLSCertDuration: string }
  readonly encryptedKey?: string
}

const provisioner = Effect.fnUntraced(function* (ca: StepCaShape, name: string) {
  const { provisioners } = JSON.parse(yield* ask(ca, "/provisioners")) as {
    readonly provisioners: ReadonlyArray<Provisioner>
  }
  const found = provisioners.find((one) => one.name === name)
  assert(found !== undefined, `no provisioner ${name}`)
  return found
})

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-testing-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

describe("StepCaProcess", () => {
  it.live("runs two CAs side by side, each under its own root, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const [one, other] = yield* Effect.all([StepCaProcess.make(), StepCaProcess.make()], {
        concurrency: 2
      }).pipe(Scope.provide(scope))
      assert.notStrictEqual(one.port, other.port)
      assert.strictEqual((yield* ask(one, "/health")).trim(), '{"status":"ok"}')
      assert.match(yield* ask(one, "/health", other.rootPem), /^UNABLE_TO_GET_ISSUER_CERT_LOCALLY$/)
      const pid = one.pid()
      assert(pid !== undefined && isAlive(pid))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(pid))
      assert.isFalse(existsSync(one.stepPath))
    })
  )

  it.live("stops, starts and is killed on one port with one state", () =>
    Effect.gen(function* () {
      const ca = yield* StepCaProcess.make()
      const first = ca.pid()
      yield* ca.stop
      assert.isUndefined(ca.pid())
      assert.strictEqual(yield* ask(ca, "/health"), "ECONNREFUSED")
      yield* ca.start
      assert.notStrictEqual(ca.pid(), first)
      yield* ca.kill9
      assert.strictEqual(yield* ask(ca, "/health"), "ECONNREFUSED")
      yield* ca.start
      assert.strictEqual((yield* ask(ca, "/health")).trim(), '{"status":"ok"}')
      assert.match(yield* ca.log, /Serving HTTPS/)
    })
  )

  it.live("takes other names", () =>
    Effect.gen(function* () {
      const ca = yield* StepCaProcess.make()
      yield* ca.reconfigure((config) => ({ ...config, dnsNames: ["*.localhost"] }))
      assert.strictEqual(yield* ask(ca, "/health"), "ERR_TLS_CERT_ALTNAME_INVALID")
    })
  )

  it.live("keeps the state of a named directory: the same root, key and port the next time", () =>
    Effect.gen(function* () {
      const stepPath = join(yield* temporary, "step")
      const run = Effect.scoped(
        Effect.gen(function* () {
          const ca = yield* StepCaProcess.make({ stepPath })
          const { key } = yield* provisioner(ca, ca.provisioner.name)
          return { rootPem: ca.rootPem, port: ca.port, kid: key.kid }
        })
      )
      assert.deepStrictEqual(yield* run, yield* run)
    })
  )

  it.live("passes options on to init.sh", () =>
    Effect.gen(function* () {
      const provisionerKey = yield* Effect.promise(() => makeProvisionerKey("EdDSA"))
      const ca = yield* StepCaProcess.make({
        provisioner: "another-name",
        provisionerKey,
        lifetimes: { min: "2s", default: "1m", max: "2m" },
        federationTemplate: "not a template"
      })
      const found = yield* provisioner(ca, "another-name")
      assert.strictEqual(found.key.kty, "OKP")
      assert.strictEqual(found.key.kid, provisionerKey.kid)
      assert.isUndefined(found.key.d)
      assert.isUndefined(found.encryptedKey)
      assert.deepInclude(found.claims, { minTLSCertDuration: "2s", maxTLSCertDuration: "2m0s" })
      assert.strictEqual(readFileSync(ca.templatePath, "utf8"), "not a template")
      assert.deepInclude(ca.environment, { MOSAIC_CERT_MAX: "2m", STEP_CA_PROVISIONER: "another-name" })
    })
  )

  it.live("names the port where somebody else has it, and takes another where none was asked for", () =>
    Effect.gen(function* () {
      const server = createServer().listen(0, "127.0.0.1")
      yield* Effect.promise(() => once(server, "listening"))
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      const { port } = server.address() as AddressInfo
      const directory = yield* temporary
      const error = yield* Effect.flip(StepCaProcess.make({ stepPath: directory, port }))
      assert.strictEqual(error._tag, "StepCaFailed")
      assert.include(error.message, `port ${port} of 127.0.0.1 is taken by another program`)
      assert.include(error.message, join(directory, "step-ca.log"))
      const ca = yield* StepCaProcess.make({ stepPath: directory })
      assert.notStrictEqual(ca.port, port)
      assert.strictEqual((yield* ask(ca, "/health")).trim(), '{"status":"ok"}')
    })
  )

  it.live("reports what init.sh said where it refuses", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        StepCaProcess.make({ stepPath: yield* temporary, env: { MOSAIC_CERT_MIN: "soon" } })
      )
      assert.strictEqual(error._tag, "StepCaFailed")
      assert.match(error.message, /init\.sh init failed[^]*MOSAIC_CERT_MIN=soon is not a duration/)
    })
  )

  it.live("cannot outlive a process that is killed", () =>
    Effect.gen(function* () {
      const program = fileURLToPath(new URL("programs/startAndSay.ts", import.meta.url))
      const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] })
      const [line] = yield* Effect.promise(() => once(child.stdout.setEncoding("utf8"), "data"))
      const { pid, stepPath } = JSON.parse(String(line)) as {
        readonly pid: number
        readonly stepPath: string
      }
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => rmSync(join(stepPath, ".."), { recursive: true, force: true }))
      )
      assert.isTrue(isAlive(pid))
      child.kill("SIGKILL")
      while (isAlive(pid)) yield* Effect.sleep("10 millis")
    })
  )
})
