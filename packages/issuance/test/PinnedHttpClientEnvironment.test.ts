import { json, makeTcpServer, makeTlsServer } from "@mosaic-federation/testing/HostileServer"
import { makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Outcome, Question } from "./programs/askOnce.ts"

const program = fileURLToPath(new URL("programs/askOnce.ts", import.meta.url))

interface Surroundings {
  readonly env?: (folder: string) => Readonly<Record<string, string>>
  readonly flags?: ReadonlyArray<string>
  readonly meddling?: NonNullable<Question["meddling"]>
}

const makeFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "pinned-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const ask = (question: Question, surroundings: Surroundings, folder: string) =>
  Effect.promise(async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...(surroundings.flags ?? []), program, JSON.stringify(question)],
      { env: { PATH: process.env["PATH"], ...surroundings.env?.(folder) } }
    )
    return JSON.parse(stdout) as Outcome
  })

/** Two roots, the second written to `other.pem`, and a server under the one or the other. */
const facing = Effect.fnUntraced(function* (
  under: "pinned" | "other",
  surroundings: Surroundings,
  options: {
    readonly names?: ReadonlyArray<string>
    readonly tls?: Parameters<typeof makeTlsServer>[2]
  } = {}
) {
  const folder = yield* makeFolder
  const roots = { pinned: yield* makeRoot("pinned root"), other: yield* makeRoot("other root") }
  writeFileSync(join(folder, "pinned.pem"), roots.pinned.pem)
  writeFileSync(join(folder, "other.pem"), roots.other.pem)
  const identity = yield* makeServerIdentity(roots[under], { names: options.names ?? ["localhost"] })
  const server = yield* makeTlsServer(identity, json(200, {}), options.tls)
  const url = `https://localhost:${server.port}`
  const question = {
    url,
    rootPem: roots.pinned.pem,
    otherRootPem: roots.other.pem,
    ...(surroundings.meddling === undefined ? undefined : { meddling: surroundings.meddling })
  }
  return { server, url, folder, outcome: yield* ask(question, surroundings, folder) }
})

const otherPem = (variable: string) => (folder: string) => ({ [variable]: join(folder, "other.pem") })

describe("a server that the process trusts, but not by the pinned root", () => {
  const ways: ReadonlyArray<readonly [string, Surroundings]> = [
    ["NODE_EXTRA_CA_CERTS", { env: otherPem("NODE_EXTRA_CA_CERTS") }],
    ["--use-openssl-ca", { env: otherPem("SSL_CERT_FILE"), flags: ["--use-openssl-ca"] }],
    ["--use-system-ca", { env: otherPem("SSL_CERT_FILE"), flags: ["--use-system-ca"] }],
    ["NODE_USE_SYSTEM_CA", { env: (f) => ({ ...otherPem("SSL_CERT_FILE")(f), NODE_USE_SYSTEM_CA: "1" }) }],
    ["NODE_TLS_REJECT_UNAUTHORIZED=0", { env: () => ({ NODE_TLS_REJECT_UNAUTHORIZED: "0" }) }],
    ["tls.setDefaultCACertificates", { meddling: "setDefaultCACertificates" }],
    ["a global dispatcher that trusts everybody", { meddling: "setGlobalDispatcher" }]
  ]

  for (const [name, surroundings] of ways) {
    it.live(`is refused under ${name}`, () =>
      Effect.gen(function* () {
        const { outcome, server, url } = yield* facing("other", surroundings)
        assert.deepStrictEqual(outcome, {
          ordinary: "200",
          pinned: `the certificate of ${url} does not chain to a root in STEP_CA_ROOT_CERT_PATH (UNABLE_TO_VERIFY_LEAF_SIGNATURE)`
        })
        assert.strictEqual(server.requests.length, 1)
      })
    )
  }
})

it.live("a wrong host name is refused under NODE_TLS_REJECT_UNAUTHORIZED=0", () =>
  Effect.gen(function* () {
    const { outcome, url } = yield* facing(
      "pinned",
      { env: () => ({ NODE_TLS_REJECT_UNAUTHORIZED: "0" }) },
      { names: ["step-ca.example"] }
    )
    assert.deepStrictEqual(outcome, {
      ordinary: "200",
      pinned: `the certificate of ${url} does not name that host in subjectAltName`
    })
  })
)

describe("TLS 1.1 is refused where the process allows it", () => {
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const
  const weak = "--tls-cipher-list=DEFAULT@SECLEVEL=0"
  const ways: ReadonlyArray<readonly [string, Surroundings]> = [
    ["NODE_OPTIONS=--tls-min-v1.0", { env: () => ({ NODE_OPTIONS: `--tls-min-v1.0 ${weak}` }) }],
    ["tls.DEFAULT_MIN_VERSION", { flags: [weak], meddling: "DEFAULT_MIN_VERSION" }]
  ]

  for (const [name, surroundings] of ways) {
    it.live(`by ${name}`, () =>
      Effect.gen(function* () {
        const trusting = {
          ...surroundings,
          env: (folder: string) => ({
            ...surroundings.env?.(folder),
            NODE_EXTRA_CA_CERTS: join(folder, "pinned.pem")
          })
        }
        const { outcome, url } = yield* facing("pinned", trusting, { tls: old })
        assert.deepStrictEqual(outcome, {
          ordinary: "200",
          pinned: `the TLS handshake with ${url} failed (ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION)`
        })
      })
    )
  }
})

it.live("a proxy named by the environment is not used", () =>
  Effect.gen(function* () {
    const proxy = yield* makeTcpServer((socket) => void socket.destroy())
    const address = `http://127.0.0.1:${proxy.port}`
    const { outcome, server } = yield* facing("pinned", {
      env: () => ({
        NODE_USE_ENV_PROXY: "1",
        HTTP_PROXY: address,
        HTTPS_PROXY: address,
        http_proxy: address,
        https_proxy: address,
        ALL_PROXY: address
      })
    })
    assert.strictEqual(outcome.pinned, "200")
    assert.notStrictEqual(outcome.ordinary, "200")
    assert.isAtLeast(proxy.connections(), 1)
    assert.strictEqual(server.requests.length, 1)
  })
)

it.live("SSLKEYLOGFILE writes no session keys", () =>
  Effect.gen(function* () {
    const { folder, outcome } = yield* facing("pinned", {
      env: (folder) => ({ SSLKEYLOGFILE: join(folder, "keys.log") })
    })
    assert.strictEqual(outcome.pinned, "200")
    assert.isFalse(existsSync(join(folder, "keys.log")))
  })
)
