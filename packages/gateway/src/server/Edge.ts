/**
 * What every request goes through before anybody looks at what it asks for, and every answer after: its id, its limits,
 * its log line and metrics, and the form of its failure. Who asks, and what for, is the contract's part.
 */
import { randomUUID } from "node:crypto"
import { InternalError } from "@mosaic-federation/domain/CommandErrors"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { isMosaicError, type MosaicError } from "@mosaic-federation/domain/MosaicError"
import {
  BodyTooLarge,
  EndpointNotFound,
  LengthRequired,
  ProxyBypassed,
  RequestTimedOut,
  ServerDraining,
  ServerOverloaded
} from "@mosaic-federation/domain/ServerErrors"
import { Cause, Clock, Duration, Effect, Metric, Option, Tracer } from "effect"
import { HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { RateLimits } from "../RateLimits.ts"
import { bypassing, clientAddress, clientNetwork } from "./ClientAddress.ts"
import { Drain } from "./Drain.ts"
import * as Metrics from "./Metrics.ts"
import { problemResponse } from "./problemResponse.ts"
import { requestIdOf } from "./RequestId.ts"
import { CurrentRecord, type RequestRecord } from "./RequestRecord.ts"
import { isLoopback, ServerConfig } from "./ServerConfig.ts"

type Request = HttpServerRequest.HttpServerRequest

/** They must answer when nothing else does, to anybody, and what they look at is looked at once a second. */
const open = new Set(["/healthz", "/readyz"])

/** Asked often by machines: not in the log, and not shed. */
const watched = new Set([...open, "/metrics"])

const pathOf = ({ url }: Request) => url.split("?", 1)[0] ?? url

/** Of the span, where there is a tracer; else the caller's (W3C Trace Context §3.2), else a random one. */
const traceId = Effect.fnUntraced(function* ({ headers }: Request) {
  const span = yield* Effect.serviceOption(Tracer.ParentSpan)
  if (Option.isSome(span)) return span.value.traceId
  const given = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-/.exec(headers["traceparent"] ?? "")?.[1]
  return given ?? randomUUID().replaceAll("-", "")
})

const makeSeries = (method: string, route: string, status: string) => ({
  requests: Metric.withAttributes(Metrics.httpRequests, { method, route, status }),
  duration: Metric.withAttributes(Metrics.httpDuration, { method, route })
})

/** To look a series up by its attributes costs more than to count: each is looked up once. Methods and routes are few. */
const known = new Map<string, ReturnType<typeof makeSeries>>()

const seriesOf = (method: string, route: string, status: string) => {
  const name = `${method} ${status} ${route}`
  const found = known.get(name)
  if (found !== undefined) return found
  const series = makeSeries(method, route, status)
  known.set(name, series)
  return series
}

/** What cannot be told to the client is told to the log. */
const defectOf = (requestId: string) =>
  new InternalError({ defect: `the gateway's log has the trace under request ${requestId}` })

/** Of a failure that no handler has put into an answer. */
const errorOf = (cause: Cause.Cause<unknown>, request: Request, requestId: string): MosaicError => {
  const error = Cause.squash(cause)
  if (isMosaicError(error)) return error
  if (HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound") {
    return new EndpointNotFound({ method: request.method, path: pathOf(request) })
  }
  return defectOf(requestId)
}

export const layer = HttpRouter.middleware(
  Effect.gen(function* () {
    const settings = yield* ServerConfig
    const { maxBodyBytes, maxConcurrency, perAddress, requestTimeout, trustedProxies } = settings
    /** Beyond loopback plain HTTP is for the proxies that end TLS, and for nobody else. */
    const onlyProxies =
      settings.plainHttp && !isLoopback(settings.listen.host) ? trustedProxies : Option.none()
    const drain = yield* Drain
    const limits = yield* RateLimits
    const afterSeconds = Math.ceil(Duration.toSeconds(requestTimeout))

    const admit = Effect.fnUntraced(function* (request: Request, from: string) {
      const path = pathOf(request)
      if (open.has(path)) return
      const past = Option.flatMap(onlyProxies, (proxies) => bypassing(request, proxies))
      if (Option.isSome(past)) return yield* new ProxyBypassed({ address: past.value })
      if (!watched.has(path) && drain.inFlight() > maxConcurrency) {
        return yield* new ServerOverloaded({
          inFlight: drain.inFlight() - 1,
          mostInFlight: maxConcurrency,
          retryAfterSeconds: 1
        })
      }
      yield* limits.count(perAddress, clientNetwork(from))
      if (request.headers["transfer-encoding"] !== undefined) return yield* new LengthRequired()
      if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) {
        return yield* new BodyTooLarge({ mostBytes: maxBodyBytes })
      }
    })

    /** The handler is interrupted, and has settled what it had begun, before the client is answered. */
    const inTime = <A, E, R>(handled: Effect.Effect<A, E, R>) =>
      Effect.raceAllFirst([
        handled,
        Effect.flatMap(Effect.sleep(requestTimeout), () =>
          Effect.fail(new RequestTimedOut({ afterSeconds }))
        ),
        Effect.flatMap(drain.deadline, () => Effect.fail(new ServerDraining({ retryAfterSeconds: 5 })))
      ])

    const note = Effect.fnUntraced(function* (
      request: Request,
      record: RequestRecord,
      status: number,
      since: number
    ) {
      const millis = (yield* Clock.currentTimeMillis) - since
      yield* Metric.update(Metrics.httpInFlight, drain.inFlight() - 1)
      const route = record.route ?? "none"
      const { method } = request
      const { duration, requests } = seriesOf(method, route, String(status))
      yield* Metric.update(requests, 1)
      yield* Metric.update(duration, millis / 1000)
      const line = {
        method,
        path: pathOf(request),
        route,
        status,
        millis,
        from: record.from,
        requester: record.requester ?? "nobody",
        ...(record.errorCode === null ? {} : { code: record.errorCode })
      }
      yield* watched.has(pathOf(request)) ? Effect.logDebug("request", line) : Effect.logInfo("request", line)
    })

    const countInFlight = Effect.suspend(() => Metric.update(Metrics.httpInFlight, drain.inFlight()))

    return (httpEffect) =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const since = yield* Clock.currentTimeMillis
        const requestId = requestIdOf(request)
        const from = clientAddress(request, trustedProxies)
        const record: RequestRecord = { requestId, from, route: null, requester: null, errorCode: null }

        const answered = Effect.andThen(admit(request, from), inTime(httpEffect)).pipe(
          Effect.catchCause((cause) => {
            // A client that has gone away gets no answer.
            if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
            const error = errorOf(cause, request, requestId)
            record.errorCode = error.code
            const response = Effect.succeed(problemResponse(error, requestId))
            return error._tag === "InternalError"
              ? Effect.andThen(Effect.logError("a request met a defect", cause), response)
              : response
          }),
          Effect.map((response) =>
            HttpServerResponse.setHeaders(response, {
              "x-request-id": requestId,
              "x-content-type-options": "nosniff",
              "cache-control": response.headers["cache-control"] ?? "no-store",
              ...(drain.isDraining() || response.status === 413 || response.status === 411
                ? { connection: "close" }
                : {})
            })
          ),
          Effect.tap(({ status }) => note(request, record, status, since)),
          Effect.annotateLogs({ requestId, traceId: yield* traceId(request) }),
          Effect.provideService(CurrentRecord, record),
          Effect.provideService(CurrentRequest, { requester: "nobody", requestId })
        )
        yield* Effect.annotateCurrentSpan({ "mosaic.request_id": requestId }).pipe(Effect.ignore)
        return yield* drain.counted(Effect.andThen(countInFlight, answered))
      })
  }),
  { global: true }
)
