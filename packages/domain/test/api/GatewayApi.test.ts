import { assert, describe, it } from "@effect/vitest"
import { Context, DateTime, Effect, Layer, Option } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { HttpApi, HttpApiClient, HttpApiMiddleware, OpenApi } from "effect/http-api"
import { Access } from "../../src/api/Access.ts"
import { EnrollmentAuth } from "../../src/api/EnrollmentAuth.ts"
import { GatewayApi } from "../../src/api/GatewayApi.ts"
import { OperatorAuth } from "../../src/api/OperatorAuth.ts"
import { errorOf, problemMediaType, problemOf } from "../../src/api/Problem.ts"
import { GrantId } from "../../src/GrantId.ts"
import type { MosaicError } from "../../src/MosaicError.ts"
import { errorExamples } from "../support/errorExamples.ts"

const requestId = "0f8d1c6e-2b7a-4c39-9d5e-6a4b3c2d1e0f"
const grantId = GrantId.make("9f8c2a1e-5b7d-4c3f-8a60-1d2e3f405162")

const exampleOf = (code: string): MosaicError => {
  const found = errorExamples.find((error) => error.code === code)
  assert.isDefined(found)
  return found
}

/** A gateway that gives one answer, and what it was asked. */
const answering = (status: number, contentType: string, body: unknown) => {
  const asked: Array<HttpClientRequest.HttpClientRequest> = []
  const bearer: HttpApiMiddleware.HttpApiMiddlewareClient<never, never, never> = ({ next, request }) =>
    next(HttpClientRequest.bearerToken(request, "secret"))
  const layer = Layer.mergeAll(
    Layer.succeed(
      HttpClient.HttpClient,
      HttpClient.make((request) => {
        asked.push(request)
        const response = new Response(JSON.stringify(body), {
          status,
          headers: { "content-type": contentType }
        })
        return Effect.succeed(HttpClientResponse.fromWeb(request, response))
      })
    ),
    HttpApiMiddleware.layerClient(OperatorAuth, bearer),
    HttpApiMiddleware.layerClient(EnrollmentAuth, bearer)
  )
  return {
    asked,
    client: Effect.provide(HttpApiClient.make(GatewayApi, { baseUrl: "https://gateway.example" }), layer)
  }
}

const problem = (code: string) => {
  const body = problemOf(exampleOf(code), requestId)
  return answering(body.status, problemMediaType, body)
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

describe("the typed client", () => {
  it.effect("asks and decodes", () =>
    Effect.gen(function* () {
      const { asked, client } = answering(200, "application/json", document)
      const grant = yield* (yield* client).grants.changeExpiry({
        params: { id: grantId },
        payload: { expiresAt: DateTime.makeUnsafe("2026-12-24T09:12:44Z") }
      })
      assert.strictEqual(grant.status, "active")
      assert.strictEqual(DateTime.toEpochMillis(grant.expiresAt), Date.parse(document.expiresAt))
      const [request] = asked
      assert.strictEqual(request?.method, "PATCH")
      assert.strictEqual(request?.url, `https://gateway.example/v1/grants/${grantId}`)
      assert.strictEqual(request?.headers["authorization"], "Bearer secret")
    })
  )

  it.effect("fails with the very class that the gateway failed with", () =>
    Effect.gen(function* () {
      const { client } = problem("GRANT_REVOKED")
      const error = yield* (yield* client).grants
        .suspend({ params: { id: grantId } })
        .pipe(Effect.catchTag("GrantRevoked", Effect.succeed))
      assert.deepStrictEqual(error, exampleOf("GRANT_REVOKED") as typeof error)
    })
  )

  it.effect("fails with what can become of any request", () =>
    Effect.gen(function* () {
      const { client } = problem("SERVER_OVERLOADED")
      const error = yield* Effect.flip((yield* client).healthz())
      assert.deepStrictEqual(error, exampleOf("SERVER_OVERLOADED") as typeof error)
    })
  )

  it.effect("does not take a problem of an unknown code for a success or for another one", () =>
    Effect.gen(function* () {
      const body = { ...problemOf(exampleOf("GRANT_REVOKED"), requestId), code: "GRANT_MOVED" }
      const { client } = answering(403, problemMediaType, body)
      const error = yield* Effect.flip((yield* client).grants.suspend({ params: { id: grantId } }))
      assert.strictEqual(error._tag, "HttpClientError")
    })
  )
})

describe("problem details", () => {
  it("take every error to the wire and back", () => {
    for (const error of errorExamples) {
      const wire = problemOf(error, requestId)
      const back = Option.getOrThrow(errorOf(JSON.parse(JSON.stringify(wire)) as typeof wire))
      assert.deepStrictEqual(back, error)
      assert.strictEqual(wire.status, error.httpStatus)
      assert.strictEqual(wire.detail, error.message)
      assert.strictEqual(wire.requestId, requestId)
      assert.strictEqual(back.remediation, wire.remediation)
      assert.notProperty(wire.details, "_tag")
    }
  })
})

describe("the remedy on the wire", () => {
  it("is the operator's where the gateway's own parts fail, with the request's id, and else that of the class", () => {
    const told = (code: string) => problemOf(exampleOf(code), requestId).remediation
    const tell = `tell the gateway's operator the request id ${requestId}, under which its log has the cause`
    for (const code of ["STORAGE_UNAVAILABLE", "CA_TIMEOUT", "CA_INTERNAL_ERROR"]) {
      assert.strictEqual(told(code), `${tell}; try again`)
    }
    for (const code of ["STORAGE_FAILED", "CA_TOKEN_REFUSED", "TOKEN_SIGNING_FAILED", "INTERNAL_ERROR"]) {
      assert.strictEqual(told(code), tell)
    }
    for (const code of ["GRANT_NOT_FOUND", "CA_RATE_LIMITED", "SERVER_OVERLOADED"]) {
      assert.strictEqual(told(code), exampleOf(code).remediation)
    }
  })
})

interface Described {
  readonly paths: Record<
    string,
    Record<string, { readonly responses: Record<string, { readonly content?: object }> }>
  >
}

describe("the contract", () => {
  it("says of every endpoint who may call it", () => {
    const silent: Array<string> = []
    HttpApi.reflect(GatewayApi, {
      onGroup: () => undefined,
      onEndpoint: ({ endpoint, mergedAnnotations }) => {
        const rule = Context.getOption(mergedAnnotations, Access)
        const isGuarded = endpoint.middlewares.has(OperatorAuth as never)
        if (Option.isNone(rule) || isGuarded !== (rule.value._tag === "Operator"))
          silent.push(`${endpoint.method} ${endpoint.path}`)
      }
    })
    assert.deepStrictEqual(silent, [])
  })

  it("describes every failure as problem details, of the same codes as the program's", () => {
    const { paths } = OpenApi.fromApi(GatewayApi) as unknown as Described
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => [`${method} ${path}`, responses] as const)
    )
    assert.isAbove(operations.length, 20)
    for (const [operation, responses] of operations) {
      const failures = Object.entries(responses).filter(([status]) => status >= "400")
      assert.isAbove(failures.length, 3, operation)
      for (const [status, { content = {} }] of failures)
        assert.include(Object.keys(content), problemMediaType, `${operation} ${status}`)
    }
  })

  it("describes the times that it takes as RFC 3339", () => {
    const { paths } = OpenApi.fromApi(GatewayApi)
    const bodies = [paths["/v1/grants"]?.post, paths["/v1/grants/{id}"]?.patch].map(
      (operation) => operation?.requestBody?.content["application/json"]?.schema as object
    )
    for (const body of bodies) {
      assert.deepNestedInclude(body, { "properties.expiresAt": { type: "string", format: "date-time" } })
    }
  })
})
