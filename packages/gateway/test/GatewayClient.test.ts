import { problemMediaType, problemOf } from "@mosaic-federation/domain/api/Problem"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { GrantNotFound } from "@mosaic-federation/domain/GrantErrors"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { UserId } from "@mosaic-federation/domain/UserId"
import { freePort } from "@mosaic-federation/testing/freePort"
import {
  type Behaviour,
  bodyInChunks,
  hangUp,
  json,
  makePlainHttpServer,
  makeTlsServer,
  raw,
  silence,
  text
} from "@mosaic-federation/testing/HostileServer"
import { expired, makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Redacted } from "effect"
import { GatewayClient, type GatewayClientOptions } from "../src/client/GatewayClient.ts"

const grantId = GrantId.make("9f8c2a1e-5b7d-4c3f-8a60-1d2e3f405162")
const key = "mosaic_key_1_an-api-key-that-nobody-may-see"

const clientOf = (port: number, rootPem: string, options: Partial<GatewayClientOptions> = {}) =>
  GatewayClient.make({
    url: new URL(`https://localhost:${port}`),
    rootsPem: [rootPem],
    bearer: Redacted.make(key),
    ...options
  })

const facing = Effect.fnUntraced(function* (
  behaviour: Behaviour,
  options: Partial<GatewayClientOptions> = {}
) {
  const root = yield* makeRoot("root")
  const identity = yield* makeServerIdentity(root, { names: ["localhost"] })
  const server = yield* makeTlsServer(identity, behaviour)
  return { server, client: yield* clientOf(server.port, root.pem, options) }
})

const getGrant = (client: GatewayClient["Service"]) =>
  client.ask((api) => api.grants.get({ params: { id: grantId } }))

interface Expected {
  readonly code: string
  readonly message: RegExp
  readonly remedy: string
}

const assertFails = (error: MosaicError, { code, message, remedy }: Expected) => {
  assert.strictEqual(error.code, code)
  assert.match(error.message, message)
  assert.include(error.remediation, remedy)
  assert.notInclude(JSON.stringify(error), key)
}

const document = {
  id: grantId,
  subjectUserId: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  peer: "gateway.example",
  scopes: ["orders:read"],
  status: "active",
  expiresAt: "2026-12-24T09:12:44.000Z",
  createdAt: "2026-11-24T09:12:44.000Z",
  revokedAt: null,
  revocationReason: null
}

describe("the client of a gateway", () => {
  it.live("asks with method, query, body and key, and reads the answer", () =>
    Effect.gen(function* () {
      const { client, server } = yield* facing(json(200, { grants: [document], next: null }))
      const page = yield* client.ask((api) =>
        api.grants.list({ query: { peer: PeerName.make("gateway.example"), limit: 1 } })
      )
      assert.strictEqual(page.grants[0]?.id, grantId)
      server.behave(json(201, document))
      yield* client.ask((api) =>
        api.grants.create({
          payload: {
            subjectUserId: UserId.make(document.subjectUserId),
            peer: PeerName.make("gateway.example"),
            scopes: [],
            expiresAt: DateTime.makeUnsafe(document.expiresAt)
          }
        })
      )
      server.behave(json(200, document))
      yield* client.ask((api) =>
        api.grants.changeExpiry({
          params: { id: grantId },
          payload: { expiresAt: DateTime.makeUnsafe(document.expiresAt) }
        })
      )
      assert.deepStrictEqual(
        server.requests.map(({ body, headers, method, path }) => [
          method,
          path,
          headers.authorization,
          body === "" ? "" : (JSON.parse(body) as { expiresAt: string }).expiresAt
        ]),
        [
          ["GET", "/v1/grants?peer=gateway.example&limit=1", `Bearer ${key}`, ""],
          ["POST", "/v1/grants", `Bearer ${key}`, document.expiresAt],
          ["PATCH", `/v1/grants/${grantId}`, `Bearer ${key}`, document.expiresAt]
        ]
      )
      const [{ headers } = {}] = server.requests
      assert.match(String(headers?.["x-request-id"]), /^[0-9a-f-]{36}$/)
    })
  )

  it.live(
    "fails with the class that the gateway failed with, also where the contract has not foreseen it",
    () =>
      Effect.gen(function* () {
        const problem = (error: MosaicError) =>
          json(error.httpStatus, problemOf(error, "request-1"), { "content-type": problemMediaType })
        const missing = new GrantNotFound({ grantId })
        const { client, server } = yield* facing(problem(missing))
        assert.deepStrictEqual(yield* Effect.flip(getGrant(client)), missing)
        server.behave(problem(missing))
        const listed = yield* Effect.flip(client.ask((api) => api.grants.list({ query: {} })))
        assert.deepStrictEqual(listed, missing)
      })
  )

  it.live("repeats what a newer gateway says", () =>
    Effect.gen(function* () {
      const newer = {
        ...problemOf(new GrantNotFound({ grantId }), "request-1"),
        status: 409,
        code: "GRANT_MOVED",
        detail: "the grant was moved to another tenant",
        remediation: "ask the gateway of that tenant"
      }
      const { client } = yield* facing(json(409, newer, { "content-type": problemMediaType }))
      assertFails(yield* Effect.flip(getGrant(client)), {
        code: "GATEWAY_ERROR_UNKNOWN",
        message:
          /answered 409 GRANT_MOVED: the grant was moved to another tenant \(X-Request-Id request-1\)$/,
        remedy: "ask the gateway of that tenant; bring this program"
      })
    })
  )

  it.live("tells what never was an answer", () =>
    Effect.gen(function* () {
      const unreadable = (message: RegExp): Expected => ({
        code: "GATEWAY_ANSWER_UNREADABLE",
        message,
        remedy: "compare mosaic --version here and at the gateway"
      })
      const lost = (message: RegExp): Expected => ({
        code: "GATEWAY_ANSWER_LOST",
        message,
        remedy: "look what is on record before you ask again"
      })
      const { client, server } = yield* facing(silence, { totalTimeout: Duration.seconds(3) })
      const cases: ReadonlyArray<readonly [Behaviour, Expected]> = [
        [silence, lost(/no complete answer within 3000 ms$/)],
        [hangUp, lost(/the connection was closed before an answer$/)],
        [
          raw("HTTP/1.1 200 OK", "content-type: application/json", "content-length: 99", "", "{"),
          lost(/the answer ended before its body was complete$/)
        ],
        [text(502, "<h1>Bad Gateway</h1>"), unreadable(/502 with a body that is none of its API$/)],
        [text(200, "<h1>Hello</h1>"), unreadable(/: a body that is none of its API$/)],
        [json(200, { ...document, status: "lent" }), unreadable(/a body that is none of its API$/)],
        [json(307, {}, { location: "/elsewhere" }), unreadable(/307, a redirect, which is not followed$/)],
        [raw("HTTP/1.1 200 OK", "content-length: 0", "", ""), unreadable(/200 without a body/)],
        [bodyInChunks(700_000, 2), unreadable(/more than 1048576 bytes$/)]
      ]
      for (const [behaviour, expected] of cases) {
        server.behave(behaviour)
        assertFails(yield* Effect.flip(getGrant(client)), expected)
      }
      const peer = yield* facing(hangUp, { asker: "peer" })
      assertFails(yield* Effect.flip(getGrant(peer.client)), {
        ...lost(/the connection was closed before an answer$/),
        remedy: "run the same command again: the same key and request bring the same certificate"
      })
    })
  )

  it.live("sends nothing to what is not the gateway", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      const other = yield* makeRoot("other")
      const good = yield* makeServerIdentity(root, { names: ["localhost"] })
      const server = yield* makeTlsServer(good, json(200, {}))
      const tell = (port: number, pem: string) =>
        Effect.flatMap(clientOf(port, pem), (client) => Effect.flip(getGrant(client)))

      assertFails(yield* tell(server.port, other.pem), {
        code: "GATEWAY_UNTRUSTED",
        message: /its certificate does not chain to the root that is given/,
        remedy: "give the root of this gateway in --gateway-root or MOSAIC_GATEWAY_ROOT"
      })
      // A peer has no such option, but a directory and a grantor.
      const peer = yield* clientOf(server.port, other.pem, { asker: "peer" })
      assertFails(yield* Effect.flip(getGrant(peer)), {
        code: "GATEWAY_UNTRUSTED",
        message: /its certificate does not chain to the root that is given/,
        remedy: "compare the root in the peer's directory with the grantor's"
      })
      server.present(yield* makeServerIdentity(root, { names: ["elsewhere.example"] }))
      assertFails(yield* tell(server.port, root.pem), {
        code: "GATEWAY_UNTRUSTED",
        message: /does not name that host in subjectAltName/,
        remedy: "use a name that is in the certificate"
      })
      server.present(yield* makeServerIdentity(root, { names: ["localhost"], validity: expired() }))
      assertFails(yield* tell(server.port, root.pem), {
        code: "GATEWAY_UNTRUSTED",
        message: /its certificate is not valid now \(CERT_HAS_EXPIRED\)$/,
        remedy: "check this machine's clock"
      })
      assertFails(yield* tell((yield* makePlainHttpServer).port, root.pem), {
        code: "GATEWAY_UNTRUSTED",
        message: /the TLS handshake failed/,
        remedy: "check that the URL names the gateway's own TLS port"
      })
      assert.deepStrictEqual(server.requests, [])

      assertFails(yield* tell(yield* freePort, root.pem), {
        code: "GATEWAY_UNREACHABLE",
        message: /^no answer from https:\/\/localhost:\d+ \(ECONNREFUSED\)$/,
        remedy: "see that the gateway runs (mosaic gateway serve)"
      })
    })
  )
})
