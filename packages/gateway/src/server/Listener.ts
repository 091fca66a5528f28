/**
 * The node server: bounds on what a client may take its time with, and an answer for those who come before the handlers
 * are there. Requests are handled by whoever serves on it.
 */
import { createServer as createHttpServer, type RequestListener, type Server } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import { Server as NetServer } from "node:net"
import type { SecureContextOptions, TlsOptions } from "node:tls"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { ListenFailed } from "@mosaic-federation/domain/ServerErrors"
import { Context, Duration, Effect, Option, type Scope } from "effect"
import { HttpServer } from "effect/http"
import type { ListenAddress, ServerSettings } from "./ServerConfig.ts"
import { answerUnparsed } from "./unparsedRequest.ts"

/** Of a TLS server: its key and certificates in PEM, and the roots by which clients' certificates are asked for. */
export interface TlsMaterial {
  readonly key: string
  readonly cert: string
  readonly ca: ReadonlyArray<string>
}

/** Of a client that sends slowly, in ms: the head, and the pause between two requests; how often that is looked at. */
const patience = {
  headersTimeout: 10_000,
  keepAliveTimeout: 15_000,
  connectionsCheckingInterval: 1_000
} as const

/** Of head and body, in ms: never before whoever handles a request gives it up, which answers better. */
const wholeTimeout = (requestTimeout: Duration.Duration) =>
  patience.headersTimeout + Duration.toMillis(requestTimeout)

/** RFC 9325 §3.1.1: TLS 1.2 and 1.3. Clients need no certificate; whose is shown is checked at each request. */
const tlsPolicy: TlsOptions = { minVersion: "TLSv1.2", requestCert: true, rejectUnauthorized: false }

const contextOf = ({ ca, cert, key }: TlsMaterial): SecureContextOptions => ({ key, cert, ca: [...ca] })

const early: RequestListener = (_request, response) => {
  response.writeHead(503, { "retry-after": "1", connection: "close" }).end()
}

const create = (
  tls: Option.Option<TlsMaterial>,
  requestTimeout: Duration.Duration,
  noteUnparsed: (error: MosaicError, requestId: string) => void
): Server => {
  const options = {
    ...patience,
    requestTimeout: wholeTimeout(requestTimeout),
    // Whoever handles a request refuses one without it, with a body that says so.
    requireHostHeader: false
  }
  const server: Server = Option.match(tls, {
    onNone: () => createHttpServer(options),
    onSome: (material) => createHttpsServer({ ...options, ...tlsPolicy, ...contextOf(material) })
  })
  // RFC 9110 §10.1.1: an expectation that nobody knows may be left out of account.
  server.on("checkExpectation", (request, response) => void server.emit("request", request, response))
  answerUnparsed(server, noteUnparsed)
  server.on("request", early)
  server.on("newListener", (event) => {
    if (event === "request") server.off("request", early)
  })
  return server
}

const shown = ({ host, port }: ListenAddress) => `${host.includes(":") ? `[${host}]` : host}:${port}`

export class Listener extends Context.Service<
  Listener,
  {
    /** The port that it really listens to. */
    readonly port: number
    /** `https://127.0.0.1:8443` */
    readonly url: string
    /** Takes no new connections; those that there are may go on asking. */
    readonly stopAccepting: Effect.Effect<void>
    /** New connections get the new certificate, those that are open keep theirs. */
    readonly renew: (tls: TlsMaterial) => Effect.Effect<void>
  }
>()("@mosaic-federation/gateway/Listener") {
  /** Listens for as long as the scope. Before that closes, requests in flight are waited for by `Drain`. */
  static readonly make = Effect.fnUntraced(function* (
    { listen: address, requestTimeout }: Pick<ServerSettings, "listen" | "requestTimeout">,
    tls: Option.Option<TlsMaterial>
  ): Effect.fn.Return<Context.Context<Listener | HttpServer.HttpServer>, ListenFailed, Scope.Scope> {
    const run = Effect.runForkWith(yield* Effect.context())
    const server = create(
      tls,
      requestTimeout,
      ({ code, httpStatus, message }, requestId) =>
        void run(
          Effect.logInfo("unparsed request", { status: httpStatus, code, why: message }).pipe(
            Effect.annotateLogs({ requestId })
          )
        )
    )
    const http = yield* NodeHttpServer.make(() => server, {
      host: address.host,
      port: address.port,
      disablePreemptiveShutdown: true
    }).pipe(
      Effect.mapError(
        ({ cause }) =>
          new ListenFailed({
            address: shown(address),
            reason: (cause as NodeJS.ErrnoException).code ?? "it cannot be listened to"
          })
      )
    )
    const bound = server.address()
    const port = typeof bound === "object" && bound !== null ? bound.port : address.port
    // http.Server's own close would cut connections on which a request may be on its way.
    const stopAccepting = Effect.sync(() => {
      NetServer.prototype.close.call(server)
    })
    const listener = Listener.of({
      port,
      stopAccepting,
      url: `${Option.isSome(tls) ? "https" : "http"}://${shown({ host: address.host, port })}`,
      renew: (material) =>
        Effect.sync(() => {
          if ("setSecureContext" in server && typeof server.setSecureContext === "function") {
            server.setSecureContext(contextOf(material))
          }
        })
    })
    return Context.make(Listener, listener).pipe(Context.add(HttpServer.HttpServer, http))
  })
}
