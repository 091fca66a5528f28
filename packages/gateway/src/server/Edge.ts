/**
 * What every request goes through before anybody looks at what it asks for, and every answer after: its id, its limits,
 * its log line and metrics, and the form of its failure. Who asks, and what for, is the contract's part.
 */
import { randomUUID } from "node:crypto"
import { InternalError } from "@mosaic-federation/domain/CommandErrors"
import { toIncomingMessage } from "@effect/platform-node/NodeHttpServerRequest"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { isMosaicError, type MosaicError } from "@mosaic-federation/domain/MosaicError"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import {
  BodyTooLarge,
  EndpointNotFound,
  LengthRequired,
  ProxyBypassed,
  RequestTimedOut,
  ServerDraining,
  ServerOverloaded
} from "@mosaic-federation/domain/ServerErrors"
import { type End, endable, endAfter } from "@mosaic-federation/issuance/endable"
import { Cause, Clock, Context, Duration, Effect, Option, References, Tracer } from "effect"
import { HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { RateLimits } from "../RateLimits.ts"
import { bypassing, clientAddress, clientNetwork } from "./ClientAddress.ts"
import { Drain } from "./Drain.ts"
import * as Metrics from "./Metrics.ts"
import { problemResponse } from "./problemResponse.ts"
import { requestIdOf } from "./RequestId.ts"
import { CurrentRecord, type RequestRecord } from "./RequestRecord.ts"
import { isLoopback, ServerConfig } from "./ServerConfig.ts"
import { isBodyUnread, spareSocket } from "./unreadBody.ts"

type Request = HttpServerRequest.HttpServerRequest

/** They must answer when nothing else does, to anybody, and what they look at is looked at once a second. */
const open = new Set(["/healthz", "/readyz"])

/** Asked often by machines: not in the log, and not shed. */
const watched = new Set([...open, "/metrics"])

const pathOf = ({ url }: Request) => url.split("?", 1)[0] ?? url

/** Of the span, where there is a tracer; else the caller's (W3C Trace Context §3.2), else a random one. */
const traceIdOf = ({ headers }: Request, span: Tracer.AnySpan | undefined) =>
  span?.traceId ??
  /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-/.exec(headers["traceparent"] ?? "")?.[1] ??
  randomUUID().replaceAll("-", "")

const makeSeries = (method: string, route: string, status: string) => ({
  requests: Metrics.httpRequests({ method, route, status }),
  duration: Metrics.httpDuration({ method, route })
})

/** Methods and routes are few. */
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
    const requestMillis = Duration.toMillis(requestTimeout)
    const afterSeconds = Math.ceil(requestMillis / 1000)

    /** What a request is refused for before its address is counted. */
    const refusalAtOnce = (request: Request, path: string): MosaicError | undefined => {
      const past = Option.flatMap(onlyProxies, (proxies) => bypassing(request, proxies))
      if (Option.isSome(past)) return new ProxyBypassed({ address: past.value })
      if (watched.has(path) || drain.inFlight() <= maxConcurrency) return undefined
      return new ServerOverloaded({
        inFlight: drain.inFlight() - 1,
        mostInFlight: maxConcurrency,
        retryAfterSeconds: 1
      })
    }

    const refusalOfBody = ({ headers }: Request): MosaicError | undefined => {
      if (headers["transfer-encoding"] !== undefined) return new LengthRequired()
      return Number(headers["content-length"] ?? 0) > maxBodyBytes
        ? new BodyTooLarge({ mostBytes: maxBodyBytes })
        : undefined
    }

    /** RFC 9112 §3.2. */
    const refusalOfHost = (request: Request): MosaicError | undefined =>
      request.headers["host"] === undefined && toIncomingMessage(request).httpVersion === "1.1"
        ? new RequestInvalid({ problem: "headers: there is no Host" })
        : undefined

    const admit = (request: Request, from: string): Effect.Effect<void, MosaicError> =>
      Effect.suspend(() => {
        const path = pathOf(request)
        const hostless = refusalOfHost(request)
        if (hostless !== undefined) return Effect.fail(hostless)
        if (open.has(path)) return Effect.void
        const refusal = refusalAtOnce(request, path)
        if (refusal !== undefined) return Effect.fail(refusal)
        const counted = limits.count(perAddress, clientNetwork(from))
        const unfit = refusalOfBody(request)
        return unfit === undefined ? counted : Effect.andThen(counted, Effect.fail(unfit))
      })

    const outOfTime = endAfter(requestMillis, () => new RequestTimedOut({ afterSeconds }))

    /**
     * The handler is interrupted, and has settled what it had begun, before the client is answered; at the end of the
     * server the client is answered at once, and the end waits for what is being settled.
     */
    const inTime = <A, E, R>(request: Request, handled: Effect.Effect<A, E, R>) =>
      endable(handled, (end: End<RequestTimedOut | ServerDraining>) => {
        const forgetTime = outOfTime((error) => {
          spareSocket(request)
          end(error)
        })
        const forgetDeadline = drain.atDeadline(() => {
          spareSocket(request)
          end(new ServerDraining({ retryAfterSeconds: 5 }), (settling) =>
            Effect.forkDetach(drain.counted(settling), { startImmediately: true })
          )
        })
        return () => {
          forgetTime()
          forgetDeadline()
        }
      })

    /** Nothing that follows on the connection can be told from what is left of a body. */
    const endsConnection = (request: Request, record: RequestRecord, status: number) =>
      drain.isDraining() ||
      request.headers["host"] === undefined ||
      status === 413 ||
      status === 411 ||
      (record.errorCode === "REQUEST_TIMED_OUT" && isBodyUnread(request))

    const note = (request: Request, record: RequestRecord, status: number, since: number) =>
      Effect.contextWith((context: Context.Context<never>) => {
        const millis = Context.get(context, Clock.Clock).currentTimeMillisUnsafe() - since
        const route = record.route ?? "none"
        const path = pathOf(request)
        const { method } = request
        const { duration, requests } = seriesOf(method, route, String(status))
        Metrics.httpInFlight.updateUnsafe(drain.inFlight() - 1, context)
        requests.updateUnsafe(1, context)
        duration.updateUnsafe(millis / 1000, context)
        const line = {
          method,
          path,
          route,
          status,
          millis,
          from: record.from,
          requester: record.requester ?? "nobody",
          ...(record.errorCode === null ? {} : { code: record.errorCode })
        }
        return watched.has(path) ? Effect.logDebug("request", line) : Effect.logInfo("request", line)
      })

    return (httpEffect) =>
      Effect.contextWith((context: Context.Context<HttpServerRequest.HttpServerRequest>) => {
        const request = Context.get(context, HttpServerRequest.HttpServerRequest)
        const since = Context.get(context, Clock.Clock).currentTimeMillisUnsafe()
        const requestId = requestIdOf(request)
        const from = clientAddress(request, trustedProxies)
        const record: RequestRecord = { requestId, from, route: null, requester: null, errorCode: null }
        const span = Context.getOrUndefined(context, Tracer.ParentSpan)
        if (span?._tag === "Span") span.attribute("mosaic.request_id", requestId)
        const traceId = traceIdOf(request, span)

        const answered = Effect.andThen(admit(request, from), inTime(request, httpEffect)).pipe(
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
          Effect.flatMap((response) =>
            Effect.as(
              note(request, record, response.status, since),
              HttpServerResponse.setHeaders(response, {
                "x-request-id": requestId,
                "x-content-type-options": "nosniff",
                "cache-control": response.headers["cache-control"] ?? "no-store",
                ...(endsConnection(request, record, response.status) ? { connection: "close" } : {})
              })
            )
          )
        )
        const known = Effect.updateContext(answered, (outside: Context.Context<never>) =>
          outside.pipe(
            Context.add(References.CurrentLogAnnotations, {
              ...Context.get(outside, References.CurrentLogAnnotations),
              requestId,
              traceId
            }),
            Context.add(CurrentRecord, record),
            Context.add(CurrentRequest, { requester: "nobody", requestId })
          )
        )
        return drain.counted(
          Effect.suspend(() => {
            Metrics.httpInFlight.updateUnsafe(drain.inFlight(), context)
            return known
          })
        )
      })
  }),
  { global: true }
)
