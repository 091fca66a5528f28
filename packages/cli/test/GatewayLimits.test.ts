/** What the server does not take, and how it ends: limits that name themselves, and a shutdown that loses no request. */
import { readFileSync } from "node:fs"
import { once } from "node:events"
import { type IncomingMessage, request as plainRequest } from "node:http"
import { request } from "node:https"
import { text as textOf } from "node:stream/consumers"
import { assert, layer } from "@effect/vitest"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { DateTime, Effect, Fiber } from "effect"
import { HttpClient, type HttpClientError, HttpClientRequest } from "effect/http"
import { clientOf, layerTransport, makeKey, startGateway } from "./support/gatewayProcess.ts"
import { rawRequest } from "./support/rawRequest.ts"
import { documentOf, type Extra, mosaic, station } from "./support/mosaic.ts"
import { stalledRequest } from "./support/stalledRequest.ts"

const gatewayWith = Effect.fnUntraced(function* (extra: Extra) {
  const { environment, rootPath } = yield* StepCaProcess
  const where = yield* station(environment)
  const { id, key } = yield* makeKey(where, "admin")
  const gateway = yield* startGateway(where, extra)
  const operator = yield* clientOf(gateway.url, { rootPath, bearer: key })
  const ca = readFileSync(rootPath, "utf8")
  const stall = (body: string) => stalledRequest(`${gateway.url}/v1/grants`, { ca, bearer: key, body })
  return { where, gateway, operator, key, keyId: id, rootPath, stall }
})

const newGrant = Effect.map(DateTime.now, (now) => ({
  subjectUserId: UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
  peer: PeerName.make("gateway.example"),
  scopes: [],
  expiresAt: DateTime.add(now, { days: 1 })
}))

const grantBody = Effect.map(newGrant, (grant) =>
  JSON.stringify({ ...grant, expiresAt: DateTime.formatIso(grant.expiresAt) })
)

/** A CA that has taken the connection and says nothing. */
const whileCaIsStopped = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const ca = yield* StepCaProcess
  const signal = (name: NodeJS.Signals) =>
    Effect.sync(() => {
      const pid = ca.pid()
      if (pid !== undefined) process.kill(pid, name)
    })
  return yield* Effect.acquireUseRelease(
    signal("SIGSTOP"),
    () => effect,
    () => signal("SIGCONT")
  )
})

const causeCode = ({ reason }: HttpClientError.HttpClientError): string => {
  const { cause } = reason as { readonly cause?: { readonly code?: string } }
  return cause?.code ?? reason._tag
}

interface Told {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly code: string
  readonly remediation: string
  readonly details: Readonly<Record<string, unknown>>
}

const told = (status: number, headers: Readonly<Record<string, unknown>>, text: string): Told => {
  const { code, details, remediation } = JSON.parse(text) as Told
  return { status, retryAfter: headers["retry-after"] as string | undefined, code, remediation, details }
}

const ask = (rootPath: string, request: HttpClientRequest.HttpClientRequest) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.execute(request)
    return { status: response.status, headers: response.headers, text: yield* response.text }
  }).pipe(Effect.provide(layerTransport({ rootPath })), Effect.scoped)

layer(StepCaProcess.layer(), { excludeTestServices: true })("limits of the gateway", (it) => {
  it.effect("a body has its length and is not too large", () =>
    Effect.gen(function* () {
      const { gateway, key, rootPath } = yield* gatewayWith({ MOSAIC_MAX_BODY: "1000" })
      const post = HttpClientRequest.post(`${gateway.url}/v1/grants`, {
        headers: { authorization: `Bearer ${key}` }
      })
      const large = yield* ask(
        rootPath,
        HttpClientRequest.bodyText(post, "x".repeat(1001), "application/json")
      )
      const refused = told(large.status, large.headers, large.text)
      assert.deepStrictEqual([refused.status, refused.code], [413, "BODY_TOO_LARGE"])
      assert.include(refused.remediation, "send at most 1000 bytes")
      const chunked = yield* Effect.promise(
        () =>
          new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
            const ca = readFileSync(rootPath, "utf8")
            const sent = request(
              `${gateway.url}/v1/grants`,
              { method: "POST", ca, agent: false },
              (response) => {
                void textOf(response).then((text) => resolve({ status: response.statusCode ?? 0, text }))
              }
            )
            sent.once("error", reject)
            sent.write("{")
            sent.end("}")
          })
      )
      const without = told(chunked.status, {}, chunked.text)
      assert.deepStrictEqual([without.status, without.code], [411, "LENGTH_REQUIRED"])
      assert.include(without.remediation, "send the body with its Content-Length")
    })
  )

  it.effect("a CSR is not too large either, whatever room its body has", () =>
    Effect.gen(function* () {
      const { gateway, key, operator, rootPath } = yield* gatewayWith({})
      const { id } = yield* operator.grants.create({ payload: yield* newGrant })
      const post = HttpClientRequest.post(`${gateway.url}/v1/grants/${id}/certificates`, {
        headers: { authorization: `Bearer ${key}` }
      })
      const csr = "A".repeat(16 * 1024 + 1)
      const large = yield* ask(rootPath, HttpClientRequest.bodyJsonUnsafe(post, { csr }))
      const refused = told(large.status, large.headers, large.text)
      assert.deepStrictEqual(
        [refused.status, refused.code, refused.details["most"]],
        [413, "CSR_TOO_LARGE", 16 * 1024]
      )
      assert.include(refused.remediation, "leave requested extensions out")
    })
  )

  it.effect("rates are counted per key, per address and per grant, and say so", () =>
    Effect.gen(function* () {
      const limits = {
        MOSAIC_RATE_PER_KEY: "4/1h",
        MOSAIC_RATE_PER_ADDRESS: "9/1h",
        MOSAIC_RATE_PER_GRANT: "1/1h"
      }
      const { gateway, key, operator, rootPath } = yield* gatewayWith(limits)
      const grant = yield* operator.grants.create({ payload: yield* newGrant })
      const issue = Effect.flatMap(makeCsr("P-256"), ({ pem }) =>
        operator.certificates.issue({ params: { id: grant.id }, headers: {}, payload: { csr: pem } })
      )
      yield* issue
      const ofGrant = yield* Effect.flip(issue)
      assert.deepInclude(ofGrant, {
        _tag: "RateLimited",
        limit: "per-grant",
        allowed: 1,
        windowSeconds: 3600
      })
      assert.match(
        "remediation" in ofGrant ? ofGrant.remediation : "",
        /^ask again in \d+ s; a client that .* renews it at two thirds of the time between its receipt and its end/
      )
      yield* operator.grants.list({ query: {} })
      const get = HttpClientRequest.get(`${gateway.url}/v1/grants`, {
        headers: { authorization: `Bearer ${key}` }
      })
      const limited = Effect.map(ask(rootPath, get), ({ headers, status, text }) =>
        told(status, headers, text)
      )
      const ofKey = yield* limited
      assert.deepStrictEqual(
        [ofKey.status, ofKey.code, ofKey.details["limit"], ofKey.retryAfter],
        [429, "RATE_LIMITED", "per-key", String(ofKey.details["retryAfterSeconds"])]
      )
      assert.match(
        ofKey.remediation,
        /^ask again in \d+ s, and less often; .*MOSAIC_RATE_PER_KEY allows more$/
      )
      const ofAddress = yield* Effect.repeat(limited, {
        until: ({ details }) => details["limit"] !== "per-key"
      })
      assert.strictEqual(ofAddress.details["limit"], "per-address")
      assert.match(ofAddress.remediation, /MOSAIC_RATE_PER_ADDRESS allows more$/)
      const health = yield* ask(rootPath, HttpClientRequest.get(`${gateway.url}/healthz`))
      assert.strictEqual(health.status, 200)
    })
  )

  it.effect("requests beyond the concurrency are turned away at once, health is not", () =>
    Effect.gen(function* () {
      const { gateway, operator, rootPath, stall } = yield* gatewayWith({ MOSAIC_MAX_CONCURRENCY: "2" })
      const body = yield* grantBody
      const first = yield* stall(body)
      const second = yield* stall(body)
      const shed = yield* Effect.repeat(ask(rootPath, HttpClientRequest.get(`${gateway.url}/v1/roots`)), {
        until: ({ status }) => status !== 200
      })
      const refused = told(shed.status, shed.headers, shed.text)
      assert.deepStrictEqual(
        [refused.status, refused.code, refused.retryAfter, refused.details["mostInFlight"]],
        [503, "SERVER_OVERLOADED", "1", 2]
      )
      assert.include(refused.remediation, "or run more replicas")
      const health = yield* ask(rootPath, HttpClientRequest.get(`${gateway.url}/healthz`))
      assert.strictEqual(health.status, 200)
      yield* first.finish
      yield* second.finish
      assert.deepStrictEqual([(yield* first.answer).status, (yield* second.answer).status], [201, 201])
      assert.lengthOf((yield* operator.grants.list({ query: {} })).grants, 2)
    })
  )

  it.effect("a request that takes too long is given up, and what it began is settled", () =>
    Effect.gen(function* () {
      const limits = { MOSAIC_REQUEST_TIMEOUT: "4s", STEP_CA_TIMEOUT: "12s" }
      const { operator } = yield* gatewayWith(limits)
      const grant = yield* operator.grants.create({ payload: yield* newGrant })
      const { pem } = yield* makeCsr("P-256")
      yield* whileCaIsStopped(
        Effect.gen(function* () {
          const error = yield* operator.certificates
            .issue({ params: { id: grant.id }, headers: {}, payload: { csr: pem } })
            .pipe(Effect.flip)
          assert.strictEqual("code" in error ? error.code : error._tag, "REQUEST_TIMED_OUT")
          assert.include("remediation" in error ? error.remediation : "", "try again with the same CSR")
        })
      )
      const { certificates } = yield* operator.certificates.list({ query: { grant: grant.id } })
      assert.deepStrictEqual(
        certificates.map(({ state }) => state),
        ["ambiguous"]
      )
    })
  )

  it.effect("a body that does not arrive in time is answered, and its connection ends", () =>
    Effect.gen(function* () {
      const { gateway, operator, stall } = yield* gatewayWith({ MOSAIC_REQUEST_TIMEOUT: "2s" })
      const stalled = yield* stall(yield* grantBody)
      const { headers, status, text } = yield* stalled.answer
      const { code, details, remediation } = told(status, headers, text)
      assert.deepStrictEqual([status, code, details], [504, "REQUEST_TIMED_OUT", { afterSeconds: 2 }])
      assert.include(remediation, "try again with the same CSR")
      assert.deepStrictEqual(
        [headers["content-type"], headers["connection"]],
        ["application/problem+json", "close"]
      )
      yield* stalled.closed
      const requestId = headers["x-request-id"]
      const line = yield* gateway.logged((one) => one["requestId"] === requestId)
      assert.deepInclude(line, { route: "/v1/grants", status: 504, code: "REQUEST_TIMED_OUT" })
      assert.lengthOf((yield* operator.grants.list({ query: {} })).grants, 0)
    })
  )

  it.effect("what is no request of HTTP/1.1 is told so with problem details, once", () =>
    Effect.gen(function* () {
      const { gateway, rootPath } = yield* gatewayWith({})
      const ca = readFileSync(rootPath, "utf8")
      const host = "Host: 127.0.0.1\r\n"
      const both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"
      const cases = [
        [`GET /v1/roots HTTP/1.1\r\n${host}X-Long: ${"x".repeat(20_000)}\r\n\r\n`, "more than 16384 bytes"],
        [`GET /v1/roots HTTP/1.1\r\n${host}X-Long: ${"x".repeat(200_000)}\r\n\r\n`, "more than 16384 bytes"],
        ["GIVE ME ROOTS\r\n\r\n", "head: it is not of HTTP/1.1 (RFC 9112): Invalid method"],
        ["GET /v1/roots HTTP/1.1\r\n\r\n", "headers: there is no Host"],
        [`POST /v1/enroll HTTP/1.1\r\n${host}${both}\r\n0\r\n\r\n`, "can't be present with Content-Length"]
      ] as const
      for (const [text, problem] of cases) {
        const [answer, ...more] = yield* rawRequest(gateway.url, ca, text)
        assert.isDefined(answer)
        const { headers, status } = answer
        const { code, detail, remediation, requestId } = JSON.parse(answer.text) as Told & {
          readonly detail: string
          readonly requestId: string
        }
        assert.deepStrictEqual([status, code, more], [400, "REQUEST_INVALID", []])
        assert.include(detail, problem)
        assert.include(remediation, "correct the field that is named")
        assert.deepStrictEqual(
          [headers["content-type"], headers["connection"], headers["x-request-id"]],
          ["application/problem+json", "close", requestId]
        )
        const line = yield* gateway.logged((one) => one["requestId"] === requestId)
        assert.deepInclude(line, { status: 400, code: "REQUEST_INVALID" })
      }

      const roots = `GET /v1/roots HTTP/1.1\r\n${host}\r\n`
      const inOrder = yield* rawRequest(gateway.url, ca, `${roots}${roots}GIVE ME MORE\r\n\r\n`)
      assert.deepStrictEqual(
        inOrder.map(({ status }) => status),
        [200, 200, 400]
      )

      const [slow, ...more] = yield* rawRequest(gateway.url, ca, `GET /v1/roots HTTP/1.1\r\n${host}`)
      assert.isDefined(slow)
      const { code, details } = told(slow.status, slow.headers, slow.text)
      assert.deepStrictEqual([slow.status, code, more], [504, "REQUEST_TIMED_OUT", []])
      assert.deepStrictEqual(details, { afterSeconds: 10 })
      assert.strictEqual(slow.headers["connection"], "close")
      assert.match(slow.headers["x-request-id"] ?? "", /^[0-9a-f-]{36}$/)
    })
  )

  it.effect("metrics are open on a loopback port of their own", () =>
    Effect.gen(function* () {
      const { gateway, operator } = yield* gatewayWith({ MOSAIC_METRICS_LISTEN: "127.0.0.1:0" })
      yield* operator.healthz()
      const { url } = yield* gateway.logged(({ message }) => message === "metrics without a key")
      const response = yield* Effect.promise(() => fetch(String(url)))
      assert.include(yield* Effect.promise(() => response.text()), "mosaic_http_requests_in_flight")
      const other = yield* Effect.promise(() => fetch(String(url).replace("/metrics", "/v1/grants")))
      assert.strictEqual(other.status, 404)
    })
  )

  it.effect("plain HTTP beyond loopback is for the proxy alone", () =>
    Effect.gen(function* () {
      const { environment } = yield* StepCaProcess
      const gateway = yield* startGateway(
        yield* station(environment),
        {
          MOSAIC_PLAIN_HTTP: "true",
          MOSAIC_TRUSTED_PROXIES: "127.0.0.2",
          MOSAIC_PUBLIC_URL: "https://gateway.example"
        },
        "--listen",
        "0.0.0.0:0"
      )
      const from = (localAddress: string, path: string) =>
        Effect.promise(async () => {
          const { port } = new URL(gateway.url)
          const asking = plainRequest({ host: "127.0.0.1", port, path, localAddress, agent: false }).end()
          const [response] = (await once(asking, "response")) as [IncomingMessage]
          return told(response.statusCode ?? 0, response.headers, await textOf(response))
        })
      const { code, details, remediation, status } = yield* from("127.0.0.1", "/v1/roots")
      assert.deepStrictEqual([status, code], [403, "PROXY_BYPASSED"])
      assert.deepStrictEqual(details, { address: "127.0.0.1" })
      assert.include(remediation, "ask the proxy, by https")
      assert.strictEqual((yield* from("127.0.0.2", "/v1/grants")).code, "AUTHENTICATION_REQUIRED")
      assert.strictEqual((yield* from("127.0.0.1", "/healthz")).status, 200)
    })
  )

  it.effect("SIGTERM: readiness goes first, what is in flight is finished, the exit code is 0", () =>
    Effect.gen(function* () {
      // As long as two questions may take on a busy machine.
      const { gateway, rootPath, stall } = yield* gatewayWith({ MOSAIC_DRAIN_DELAY: "6s" })
      const stalled = yield* stall(yield* grantBody)
      yield* ask(rootPath, HttpClientRequest.get(`${gateway.url}/v1/roots`))
      const ended = yield* Effect.forkChild(gateway.end("SIGTERM"))
      yield* gateway.logged(({ message }) => message === "draining")
      // A CA that says nothing would be waited for.
      const ready = yield* whileCaIsStopped(ask(rootPath, HttpClientRequest.get(`${gateway.url}/readyz`)))
      assert.strictEqual(ready.status, 503)
      assert.deepStrictEqual(JSON.parse(ready.text), { status: "draining", checks: [] })
      const late = yield* ask(rootPath, HttpClientRequest.get(`${gateway.url}/v1/roots`))
      assert.deepStrictEqual([late.status, late.headers["connection"]], [200, "close"])
      yield* stalled.finish
      assert.strictEqual((yield* stalled.answer).status, 201)
      assert.strictEqual(yield* Fiber.join(ended), 0)
    })
  )

  it.effect("SIGTERM: a deadline ends it, and those that it ends are told", () =>
    Effect.gen(function* () {
      const limits = { MOSAIC_DRAIN_TIMEOUT: "1s", STEP_CA_TIMEOUT: "10s" }
      const { gateway, operator, where } = yield* gatewayWith(limits)
      const grant = yield* operator.grants.create({ payload: yield* newGrant })
      const { pem } = yield* makeCsr("P-256")
      const issue = operator.certificates.issue({
        params: { id: grant.id },
        headers: {},
        payload: { csr: pem }
      })
      yield* whileCaIsStopped(
        Effect.gen(function* () {
          const asked = yield* Effect.forkChild(Effect.flip(issue))
          yield* Effect.repeat(operator.grants.get({ params: { id: grant.id } }), {
            until: ({ certificates }) => certificates.length === 1
          })
          const ended = yield* Effect.forkChild(gateway.end("SIGTERM"))
          yield* gateway.logged(({ message }) => message === "the deadline ends requests in flight")
          // Long before the CA's time is over, after which what was begun is settled.
          const error = yield* Effect.timeout(Fiber.join(asked), "5 seconds")
          assert.notInclude(
            gateway.log().map(({ message }) => message),
            "drained"
          )
          assert.strictEqual("code" in error ? error.code : error._tag, "SERVER_DRAINING")
          assert.include(
            "remediation" in error ? error.remediation : "",
            "try again in 5 s: another replica answers"
          )
          assert.strictEqual(yield* Fiber.join(ended), 0)
        })
      )
      const { stdout } = yield* mosaic(where, ["federation", "cert", "list", "--json"])
      const { certificates } = documentOf<{
        readonly certificates: ReadonlyArray<{ readonly state: string; readonly errorCode: string }>
      }>(stdout)
      assert.deepStrictEqual(
        certificates.map(({ errorCode, state }) => [state, errorCode]),
        [["ambiguous", "INTERRUPTED"]]
      )
    })
  )

  it.effect("SIGTERM: the deadline is told to those whose body has not arrived, too", () =>
    Effect.gen(function* () {
      const { gateway, rootPath, stall } = yield* gatewayWith({ MOSAIC_DRAIN_TIMEOUT: "1s" })
      const stalled = yield* stall(yield* grantBody)
      yield* ask(rootPath, HttpClientRequest.get(`${gateway.url}/v1/roots`))
      const ended = yield* Effect.forkChild(gateway.end("SIGTERM"))
      const { headers, status, text } = yield* stalled.answer
      assert.deepStrictEqual([status, told(status, headers, text).code], [503, "SERVER_DRAINING"])
      assert.strictEqual(yield* Fiber.join(ended), 0)
    })
  )

  it.effect("SIGTERM: under load, every request that was taken is answered", () =>
    Effect.gen(function* () {
      const { gateway, operator, where } = yield* gatewayWith({ MOSAIC_DRAIN_DELAY: "1s" })
      const outcomes: Array<string> = []
      const caller = Effect.gen(function* () {
        while (true) {
          const outcome = yield* newGrant.pipe(
            Effect.flatMap((payload) => operator.grants.create({ payload })),
            Effect.match({
              onSuccess: () => "created",
              onFailure: (error) => (error._tag === "HttpClientError" ? causeCode(error) : error._tag)
            })
          )
          outcomes.push(outcome)
          if (outcome === "ECONNREFUSED") return
        }
      })
      const callers = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 8 }, () => caller),
          { concurrency: "unbounded" }
        )
      )
      yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => outcomes.length > 50 })
      assert.strictEqual(yield* gateway.end("SIGTERM"), 0)
      yield* Fiber.join(callers)
      const created = outcomes.filter((outcome) => outcome === "created")
      // Whoever connects in the moment of the end may be turned away, before anything was asked.
      assert.includeMembers(
        ["ECONNREFUSED", "ECONNRESET", "EPIPE", "UND_ERR_SOCKET", "created"],
        [...new Set(outcomes)]
      )
      const listed = yield* mosaic(where, ["federation", "grant", "list", "--limit", "1000", "--json"])
      const { grants } = documentOf<{ readonly grants: ReadonlyArray<unknown> }>(listed.stdout)
      assert.strictEqual(grants.length, Math.min(created.length, 1000))
      assert.strictEqual(gateway.log().filter(({ status }) => status === 201).length, created.length)
    })
  )
})
