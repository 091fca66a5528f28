import { hangUp, json, makeTlsServer, silence } from "@mosaic-federation/testing/HostileServer"
import { makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Logger, References, Scope, Tracer } from "effect"
import { inspect } from "node:util"
import {
  nothingWasSent,
  PinnedHttpClient,
  type PinnedHttpClientOptions,
  type PinnedRequest
} from "../src/PinnedHttpClient.ts"

const token = "eyJ.one-time.token"

const signRequest = {
  method: "POST",
  path: "/1.0/sign?page=1",
  body: { csr: "a CSR", ott: token }
} satisfies PinnedRequest

const makePki = Effect.gen(function* () {
  const root = yield* makeRoot("root")
  return { root, identity: yield* makeServerIdentity(root, { names: ["localhost"] }) }
})

const clientOf = (port: number, rootPem: string, options: Partial<PinnedHttpClientOptions> = {}) =>
  PinnedHttpClient.make({ baseUrl: new URL(`https://localhost:${port}`), rootsPem: [rootPem], ...options })

const facing = Effect.fnUntraced(function* (
  behaviour: Parameters<typeof makeTlsServer>[1],
  options: Partial<PinnedHttpClientOptions> = {}
) {
  const { identity, root } = yield* makePki
  const server = yield* makeTlsServer(identity, behaviour)
  return { server, root, client: yield* clientOf(server.port, root.pem, options) }
})

describe("the pool", () => {
  it.live("keeps connections: a hundred requests, one after the other, need no more than two", () =>
    Effect.gen(function* () {
      const { client, server } = yield* facing(json(200, {}))
      for (let count = 0; count < 100; count++) yield* client.request(signRequest)
      assert.strictEqual(server.requests.length, 100)
      assert.isAtMost(server.connections(), 2)
    })
  )

  it.live("opens no more connections than it may, and lets the rest wait", () =>
    Effect.gen(function* () {
      const { client, server } = yield* facing((response) => void setImmediate(() => response.end("{}")), {
        connections: 3
      })
      yield* Effect.all(
        Array.from({ length: 30 }, () => client.request(signRequest)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(server.connections(), 3)
      assert.strictEqual(server.requests.length, 30)
    })
  )

  it.live(
    "keeps the connection of an answer that refuses, and closes that of an answer it did not read",
    () =>
      Effect.gen(function* () {
        const { client, server } = yield* facing(json(403, { message: "no" }), { connections: 1 })
        for (let count = 0; count < 5; count++) yield* client.request(signRequest)
        assert.strictEqual(server.connections(), 1)
        server.behave((response) => void response.writeHead(302).write("x"))
        yield* Effect.flip(client.request(signRequest))
        yield* server.until(({ open }) => open() === 0)
        server.behave(json(200, {}))
        yield* client.request(signRequest)
        assert.strictEqual(server.connections(), 2)
      })
  )

  it.live("opens a new connection where the server ended an idle one", () =>
    Effect.gen(function* () {
      const { client, server } = yield* facing(json(200, {}), { connections: 1 })
      yield* client.request(signRequest)
      server.endConnections()
      yield* server.until(({ open }) => open() === 0)
      assert.strictEqual((yield* client.request(signRequest)).status, 200)
      assert.strictEqual(server.connections(), 2)
    })
  )

  it.live("does not repeat a request that met the end of a kept connection, whatever its method", () =>
    Effect.gen(function* () {
      for (const method of ["GET", "POST"] as const) {
        const { client, server } = yield* facing(json(200, {}), { connections: 1 })
        const request = { method, path: "/" } as const
        yield* client.request(request)
        server.behave(hangUp)
        const error = yield* Effect.flip(client.request(request))
        assert.strictEqual(error.code, "CA_CONNECTION_RESET")
        assert.isFalse(nothingWasSent(error))
        assert.strictEqual(server.requests.length, 2)
        assert.strictEqual(server.connections(), 1)
      }
    })
  )

  it.live("closes idle connections before step-ca does, after 15 s, whatever Keep-Alive promises", () =>
    Effect.gen(function* () {
      const { identity, root } = yield* makePki
      const server = yield* makeTlsServer(identity, json(200, {}, { "keep-alive": "timeout=600" }), {
        keepAliveTimeout: 15_000
      })
      const ended = new Set<boolean>()
      const client = yield* clientOf(server.port, root.pem)
      server.behave((response) => {
        response.socket?.once("end", () => ended.add(true))
        response.setHeader("keep-alive", "timeout=600")
        response.end("{}")
      })
      yield* client.request(signRequest)
      yield* server.until(({ open }) => open() === 0)
      // The server's own timer destroys the socket: `end` comes only where the client ended it.
      assert.isTrue(ended.has(true))
    })
  )

  it.live("recovers once the server's certificate is right, and once it is there again", () =>
    Effect.gen(function* () {
      const { identity, root } = yield* makePki
      const wrong = yield* makeServerIdentity(yield* makeRoot("other root"), { names: ["localhost"] })
      const server = yield* makeTlsServer(wrong, json(200, {}))
      const client = yield* clientOf(server.port, root.pem, { connections: 1 })
      for (let count = 0; count < 3; count++) {
        assert.strictEqual((yield* Effect.flip(client.request(signRequest))).code, "CA_ISSUER_UNKNOWN")
      }
      server.present(identity)
      assert.strictEqual((yield* client.request(signRequest)).status, 200)
      server.present(wrong)
      assert.strictEqual((yield* client.request(signRequest)).status, 200)
      server.endConnections()
      yield* server.until(({ open }) => open() === 0)
      assert.strictEqual((yield* Effect.flip(client.request(signRequest))).code, "CA_ISSUER_UNKNOWN")
      assert.strictEqual(server.requests.length, 2)
    })
  )

  it.live("an interrupted request is aborted, before its answer and in the middle of it", () =>
    Effect.gen(function* () {
      for (const behaviour of [
        silence,
        (response: Parameters<typeof silence>[0]) => void response.writeHead(200).write("[")
      ]) {
        const { client, server } = yield* facing(behaviour)
        const fiber = yield* Effect.forkChild(client.request(signRequest))
        yield* server.until(({ requests }) => requests.length === 1)
        yield* Fiber.interrupt(fiber)
        yield* server.until(({ open }) => open() === 0)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      }
    })
  )

  it.live("closes its connections with its scope", () =>
    Effect.gen(function* () {
      const { identity, root } = yield* makePki
      const server = yield* makeTlsServer(identity, json(200, {}))
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(clientOf(server.port, root.pem), scope)
      yield* client.request(signRequest)
      assert.isAtLeast(server.open(), 1)
      yield* Scope.close(scope, Exit.void)
      yield* server.until(({ open }) => open() === 0)
    })
  )
})

describe("what it tells others", () => {
  it.live("sends the request id it is given, no trace, and nothing that could split a header", () =>
    Effect.gen(function* () {
      const { client, server } = yield* facing(json(200, {}))
      const ask = (requestId: string) => client.request({ ...signRequest, requestId })
      yield* Effect.withSpan(ask("0190-ab:1"), "caller")
      for (const refused of ["", "a b", "a\r\nx-evil: 1", "é", "x".repeat(129)]) yield* ask(refused)
      const sent = server.requests.map(({ headers }) => headers["x-request-id"])
      assert.deepStrictEqual(sent, ["0190-ab:1", undefined, undefined, undefined, undefined, undefined])
      assert.deepStrictEqual(Object.keys(server.requests[0]?.headers ?? {}).sort(), [
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-request-id"
      ])
      assert.strictEqual(server.requests[0]?.headers["accept-encoding"], "identity")
    })
  )

  it.live("no token in errors, spans or logs, whether the exchange succeeds or fails", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const logs: Array<unknown> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const logger = Logger.make((options) => void logs.push(inspect(options, { depth: 20 })))
      const { client, server } = yield* facing(json(200, {}), { totalTimeout: Duration.seconds(3) })
      const exits: Array<unknown> = []
      for (const behaviour of [json(200, {}), json(401, { message: "no" }), hangUp, silence]) {
        server.behave(behaviour)
        exits.push(
          yield* Effect.exit(client.request(signRequest)).pipe(
            Effect.withTracer(tracer),
            Effect.provide(Logger.layer([logger])),
            Effect.provideService(References.MinimumLogLevel, "All")
          )
        )
      }
      assert.strictEqual(server.requests.filter(({ body }) => body.includes(token)).length, 4)
      assert.deepStrictEqual(
        spans.map(({ name }) => name),
        Array.from({ length: 4 }, () => "PinnedHttpClient.request")
      )
      assert.deepStrictEqual(
        [...(spans[1]?.attributes ?? [])].filter(([key]) => key.startsWith("http")),
        [
          ["http.request.method", "POST"],
          ["http.response.status_code", 401]
        ]
      )
      for (const seen of [exits, spans, logs]) {
        assert.notInclude(inspect(seen, { depth: 20, showHidden: true }), "one-time")
      }
    })
  )

  it.live("a base URL that is not https, and a path that could leave the origin, are defects", () =>
    Effect.gen(function* () {
      const { client, root, server } = yield* facing(json(200, {}))
      const plain = yield* Effect.exit(
        PinnedHttpClient.make({ baseUrl: new URL(`http://localhost:${server.port}`), rootsPem: [root.pem] })
      )
      assert.isTrue(Exit.hasDies(plain))
      for (const path of ["", ".example/", "@example.org/", ":1/"]) {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(client.request({ method: "GET", path }))))
      }
      for (const path of ["//example.org/", "/\\example.org/", "/@example.org"]) {
        assert.strictEqual((yield* client.request({ method: "GET", path })).status, 200)
      }
      assert.strictEqual(server.requests.length, 3)
    })
  )
})
