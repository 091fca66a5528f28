/**
 * The typed client of a gateway's API over a connection that trusts the given roots alone. Whatever is no answer becomes
 * an error of the union: what the gateway refuses, the very class that it failed with; what never came to an answer, a
 * `GatewayError`. It never asks twice: what may be repeated is the caller's decision.
 */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { EnrollmentAuth } from "@mosaic-federation/domain/api/EnrollmentAuth"
import { OperatorAuth } from "@mosaic-federation/domain/api/OperatorAuth"
import { errorOf, Problem } from "@mosaic-federation/domain/api/Problem"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import {
  GatewayAnswerLost,
  GatewayAnswerUnreadable,
  GatewayErrorUnknown,
  GatewayUnreachable,
  GatewayUntrusted
} from "@mosaic-federation/domain/GatewayErrors"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import type { TransportError } from "@mosaic-federation/domain/TransportErrors"
import {
  type ClientCertificate,
  PinnedHttpClient,
  type PinnedRequest,
  type PinnedResponse
} from "@mosaic-federation/issuance/PinnedHttpClient"
import type { Redacted } from "effect"
import { Context, Duration, Effect, Layer, Option, Schema, type Scope } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"

export interface GatewayClientOptions {
  /** Scheme, host and port of the gateway; https only. */
  readonly url: URL
  /** PEM certificates; the gateway's TLS certificate must chain to one of them. */
  readonly rootsPem: ReadonlyArray<string>
  /** As in `PinnedHttpClientOptions`. */
  readonly anyAnchor?: boolean
  /** What an operator or a newcomer says who it is with: an API key, a JWT, an enrollment token. */
  readonly bearer?: Redacted.Redacted
  /** What a peer says who it is with. */
  readonly certificate?: ClientCertificate
  /** Whose remedies an error tells; the operator's by default. */
  readonly asker?: GatewayUntrusted["asker"]
  /** DNS, TCP and TLS together; 5 s by default. */
  readonly connectTimeout?: Duration.Duration
  /** The whole exchange; 60 s by default, because a gateway waits for its CA. */
  readonly totalTimeout?: Duration.Duration
}

/** Of a connection that failed. Where nothing was sent, nothing was done. */
const gatewayError = (error: TransportError, asker: GatewayUntrusted["asker"]): MosaicError => {
  const url = error.origin
  switch (error._tag) {
    case "CaConnectionRefused":
      return new GatewayUnreachable({ url, reason: "ECONNREFUSED", asker })
    case "CaUnreachable":
    case "CaNameNotResolved":
      return new GatewayUnreachable({ url, reason: error.reason, asker })
    case "CaIssuerUnknown":
      return new GatewayUntrusted({ url, check: "issuer", reason: error.reason, asker })
    case "CaCertificateExpired":
      return new GatewayUntrusted({ url, check: "time", reason: error.reason, asker })
    case "CaHostNameMismatch":
      return new GatewayUntrusted({ url, check: "name", reason: "ERR_TLS_CERT_ALTNAME_INVALID", asker })
    case "CaTlsFailed":
      return new GatewayUntrusted({ url, check: "handshake", reason: error.reason, asker })
    case "CaTimeout":
      return error.phase === "connect"
        ? new GatewayUnreachable({ url, reason: `no connection within ${error.afterMillis} ms`, asker })
        : new GatewayAnswerLost({ url, reason: `no complete answer within ${error.afterMillis} ms`, asker })
    case "CaConnectionReset":
      return new GatewayAnswerLost({ url, reason: "the connection was closed before an answer", asker })
    case "CaResponseTruncated":
      return new GatewayAnswerLost({ url, reason: "the answer ended before its body was complete", asker })
    case "CaResponseTooLarge":
      return new GatewayAnswerUnreadable({ url, problem: `more than ${error.mostBytes} bytes` })
    case "CaResponseNotJson":
    case "CaResponseEmpty":
      return new GatewayAnswerUnreadable({ url, problem: `${error.status} without a body that can be read` })
    case "CaResponseShape":
      return new GatewayAnswerUnreadable({ url, problem: error.problem })
    case "CaRedirected":
      return new GatewayAnswerUnreadable({
        url,
        problem: `${error.status}, a redirect, which is not followed`
      })
  }
}

const readProblem = Schema.decodeUnknownOption(Problem)

/** Of an answer that is problem details. */
const refusal = (url: string, body: unknown): Option.Option<MosaicError> =>
  Option.map(readProblem(body), (problem) =>
    Option.getOrElse(
      errorOf(problem),
      () =>
        new GatewayErrorUnknown({
          url,
          status: problem.status,
          unknownCode: problem.code,
          detail: problem.detail,
          advice: problem.remediation,
          requestId: problem.requestId
        })
    )
  )

const pathOf = (request: HttpClientRequest.HttpClientRequest) =>
  Option.match(HttpClientRequest.toUrl(request), {
    onNone: () => Effect.die(new Error(`no URL: ${request.url}`)),
    onSome: ({ pathname, search }) => Effect.succeed(pathname + search)
  })

/** The answer as the typed client reads one; it is whole already. */
const answerTo = (
  request: HttpClientRequest.HttpClientRequest,
  { body, headers, status }: PinnedResponse
): HttpClientResponse.HttpClientResponse =>
  HttpClientResponse.fromWeb(
    request,
    new Response(body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body ?? null), {
      status,
      headers: { "content-type": headers["content-type"] ?? "application/octet-stream" }
    })
  )

const pinnedTransport = Effect.fnUntraced(function* (options: GatewayClientOptions) {
  const { certificate, connectTimeout = Duration.seconds(5), totalTimeout = Duration.seconds(60) } = options
  const pinned = yield* PinnedHttpClient.make({
    baseUrl: options.url,
    rootsPem: options.rootsPem,
    connectTimeout,
    totalTimeout,
    ...(options.anyAnchor === undefined ? {} : { anyAnchor: options.anyAnchor }),
    ...(certificate === undefined ? {} : { certificate })
  })
  const { asker = "operator" } = options
  const exchange = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
    const { requestId } = yield* CurrentRequest
    const response = yield* Effect.mapError(
      pinned.request({
        method: request.method as PinnedRequest["method"],
        path: yield* pathOf(request),
        headers: { ...request.headers },
        ...(request.body._tag === "Empty" ? {} : { body: request.body }),
        accept: "bytes",
        requestId
      }),
      (error) => gatewayError(error, asker)
    )
    const refused = response.status < 400 ? Option.none() : refusal(options.url.origin, response.body)
    return yield* Option.match(refused, {
      onNone: () => Effect.succeed(answerTo(request, response)),
      onSome: Effect.fail
    })
  })
  return HttpClient.makeWith<never, never, MosaicError, never>(
    (request) => Effect.flatMap(request, exchange),
    Effect.succeed
  )
})

const authorizationOf = (bearer: Redacted.Redacted | undefined) => {
  const authorize: HttpApiMiddleware.HttpApiMiddlewareClient<never, never, never> = ({ next, request }) =>
    next(bearer === undefined ? request : HttpClientRequest.bearerToken(request, bearer))
  return Layer.mergeAll(
    HttpApiMiddleware.layerClient(OperatorAuth, authorize),
    HttpApiMiddleware.layerClient(EnrollmentAuth, authorize)
  )
}

const makeApi = (options: GatewayClientOptions) =>
  Effect.gen(function* () {
    const httpClient = yield* pinnedTransport(options)
    return yield* HttpApiClient.makeWith(GatewayApi, { httpClient, baseUrl: options.url })
  }).pipe(Effect.provide(authorizationOf(options.bearer)))

/** The endpoints of the contract, as functions. */
export type Api = Effect.Success<ReturnType<typeof makeApi>>

const unreadable = (url: string) => (error: HttpClientError.HttpClientError | Schema.SchemaError) =>
  new GatewayAnswerUnreadable({
    url,
    problem:
      HttpClientError.isHttpClientError(error) && error.response !== undefined
        ? `${error.response.status} with a body that is none of its API`
        : "a body that is none of its API"
  })

const isUnreadable = (error: unknown): error is HttpClientError.HttpClientError | Schema.SchemaError =>
  HttpClientError.isHttpClientError(error) || Schema.isSchemaError(error)

export class GatewayClient extends Context.Service<
  GatewayClient,
  {
    /** Asks one thing: `gateway.ask((api) => api.grants.get({ params: { id } }))`. */
    readonly ask: <A>(
      one: (api: Api) => Effect.Effect<A, MosaicError | HttpClientError.HttpClientError | Schema.SchemaError>
    ) => Effect.Effect<A, MosaicError>
  }
>()("@mosaic-federation/gateway/GatewayClient") {
  /** The connections live as long as the scope. */
  static readonly make = Effect.fnUntraced(function* (
    options: GatewayClientOptions
  ): Effect.fn.Return<GatewayClient["Service"], never, Scope.Scope> {
    const api = yield* makeApi(options)
    const url = options.url.origin
    return GatewayClient.of({
      ask: (one) => Effect.catchIf(one(api), isUnreadable, (error) => Effect.fail(unreadable(url)(error)))
    })
  })

  static readonly layer = (options: GatewayClientOptions) =>
    Layer.effect(GatewayClient, GatewayClient.make(options))
}
