/** docs/federation/authorization.md, cell by cell: every endpoint is asked with every kind of credential. */
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { DateTime, Effect } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { contractRows, type Credential, credentials, tableLines } from "./support/authorizationTable.ts"
import {
  type ClientOptions,
  clientOf,
  layerTransport,
  makeKey,
  startGateway
} from "./support/gatewayProcess.ts"
import { station } from "./support/mosaic.ts"

const page = readFileSync(
  fileURLToPath(new URL("../../../docs/federation/authorization.md", import.meta.url)),
  "utf8"
)

/** Of nothing that exists, so that whoever may ask changes nothing. */
const urlOf = (base: string, path: string) =>
  base +
  path
    .replace(":id", randomUUID())
    .replace(":tokenId", randomUUID())
    .replace(":serial", "98037421659023847561029384756102938475")

/** What a refusal of who asks is told by; whatever else is answered, the request was looked at. */
const refusals = new Set([
  "AUTHENTICATION_REQUIRED",
  "API_KEY_UNKNOWN",
  "SCOPE_INSUFFICIENT",
  "ENROLLMENT_TOKEN_MALFORMED",
  "PEER_CERTIFICATE_MISSING"
])

/** Of the form of some endpoints, and of hardly any: who asks is judged before it. */
const bodies = [{ csr: "none" }, {}]

const makeCredentials = Effect.fnUntraced(function* (url: string, rootPath: string, admin: string) {
  const operator = yield* clientOf(url, { rootPath, bearer: admin })
  const grant = yield* operator.grants.create({
    payload: {
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("gateway.example"),
      scopes: [],
      expiresAt: DateTime.add(yield* DateTime.now, { days: 1 })
    }
  })
  const csr = yield* makeCsr("P-256")
  const issued = yield* operator.certificates.issue({
    params: { id: grant.id },
    headers: {},
    payload: { csr: csr.pem }
  })
  const { token } = yield* operator.enrollmentTokens.create({ params: { id: grant.id }, payload: {} })
  return {
    token,
    certificate: { cert: issued.certificate + issued.chain.join(""), key: csr.privateKeyPem }
  }
})

layer(StepCaProcess.layer(), { excludeTestServices: true })("authorization", (it) => {
  it.effect("the page has the table of the contract", () =>
    Effect.sync(() => {
      const shown = page.split("\n").filter((line) => line.startsWith("| `"))
      assert.deepStrictEqual(shown, [...tableLines()])
    })
  )

  it.effect("every cell is what the server does", () =>
    Effect.gen(function* () {
      const { environment, rootPath } = yield* StepCaProcess
      const where = yield* station(environment)
      const keys = {
        read: (yield* makeKey(where, "read")).key,
        issue: (yield* makeKey(where, "issue")).key,
        admin: (yield* makeKey(where, "admin")).key
      }
      const gateway = yield* startGateway(where)
      const { certificate, token } = yield* makeCredentials(gateway.url, rootPath, keys.admin)
      const options: Readonly<Record<Credential, ClientOptions>> = {
        nobody: { rootPath },
        "enrollment token": { rootPath, bearer: token },
        "peer certificate": { rootPath, certificate },
        read: { rootPath, bearer: keys.read },
        issue: { rootPath, bearer: keys.issue },
        admin: { rootPath, bearer: keys.admin }
      }
      const wrong: Array<string> = []
      for (const credential of credentials) {
        const { bearer } = options[credential]
        yield* Effect.gen(function* () {
          const client = yield* HttpClient.HttpClient
          for (const { cells, method, path } of contractRows()) {
            const request = HttpClientRequest.make(method as "GET")(urlOf(gateway.url, path), {
              headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
            })
            const requests =
              method === "GET"
                ? [request]
                : bodies.map((body) => HttpClientRequest.bodyJsonUnsafe(request, body))
            for (const one of requests) {
              const response = yield* client.execute(one)
              const text = yield* response.text
              const { code } =
                response.status < 400 ? { code: "done" } : (JSON.parse(text) as { readonly code: string })
              const found = refusals.has(code) ? code : "yes"
              if (found !== cells[credential]) {
                wrong.push(`${method} ${path} as ${credential}: ${found} (${code})`)
              }
            }
          }
        }).pipe(Effect.provide(layerTransport(options[credential])), Effect.scoped)
      }
      assert.deepStrictEqual(wrong, [])
    })
  )

  it.effect("says which scope it takes, and which the key has", () =>
    Effect.gen(function* () {
      const { environment, rootPath } = yield* StepCaProcess
      const where = yield* station(environment)
      const { key } = yield* makeKey(where, "read")
      const gateway = yield* startGateway(where)
      const reader = yield* clientOf(gateway.url, { rootPath, bearer: key })
      const error = yield* reader.grants
        .create({
          payload: {
            subjectUserId: UserId.make(randomUUID()),
            peer: PeerName.make("gateway.example"),
            scopes: [],
            expiresAt: DateTime.add(yield* DateTime.now, { days: 1 })
          }
        })
        .pipe(Effect.flip)
      assert.strictEqual("code" in error ? error.code : error._tag, "SCOPE_INSUFFICIENT")
      assert.include("remediation" in error ? error.remediation : "", "use a key of the scope issue")
      assert.include(error.message, "POST /v1/grants needs the scope issue, this is read")
    })
  )
})
