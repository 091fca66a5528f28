/**
 * Servers on loopback that misbehave on purpose, at the level of TCP, TLS and HTTP. They know nothing of a CA's
 * protocol; a CA that lies in it is `HostileCa`.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createHttpsServer, type ServerOptions } from "node:https"
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net"
import { gzipSync } from "node:zlib"
import { Effect, type Scope } from "effect"
import type { ServerIdentity } from "./TestPki.ts"

export interface ReceivedRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

/** What the server does with a request that it has read to its end. */
export type Behaviour = (response: ServerResponse, request: ReceivedRequest, count: number) => void

export interface HostileServer {
  readonly port: number
  /** TCP connections accepted so far; where it speaks TLS, those whose handshake the server finished. */
  readonly connections: () => number
  /** Connections that are open now. */
  readonly open: () => number
  readonly requests: ReadonlyArray<ReceivedRequest>
  /** Resolves once the given condition holds; looked at after each event of the server. */
  readonly until: (condition: (server: HostileServer) => boolean) => Effect.Effect<void>
  /** Lets later requests meet another behaviour. */
  readonly behave: (behaviour: Behaviour) => void
  /** Ends each open connection in order (FIN), as a server does with idle ones. */
  readonly endConnections: () => void
}

const serve = (
  server: Server,
  options: { readonly connectionEvent: "connection" | "secureConnection"; readonly behaviour: Behaviour }
) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly handle: HostileServer; readonly close: () => void }>((resume) => {
      const accepted = new Set<Socket>()
      const spoken = new Set<Socket>()
      const requests: Array<ReceivedRequest> = []
      const waiting = new Set<() => void>()
      let connections = 0
      let behaviour = options.behaviour
      const changed = () => {
        for (const look of waiting) look()
      }
      server.on("connection", (socket: Socket) => {
        accepted.add(socket)
        socket.on("close", () => accepted.delete(socket))
        socket.on("error", () => socket.destroy())
      })
      server.on(options.connectionEvent, (socket: Socket) => {
        connections++
        spoken.add(socket)
        socket.on("error", () => socket.destroy())
        socket.on("close", () => {
          spoken.delete(socket)
          changed()
        })
        changed()
      })
      server.on("tlsClientError", () => undefined)
      server.on("request", (request: IncomingMessage, response: ServerResponse) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("error", () => undefined)
        response.on("error", () => undefined)
        request.on("end", () => {
          const received = {
            method: request.method ?? "",
            path: request.url ?? "",
            headers: request.headers,
            body: Buffer.concat(chunks).toString("utf8")
          }
          requests.push(received)
          changed()
          behaviour(response, received, requests.length)
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const handle: HostileServer = {
          port: (server.address() as AddressInfo).port,
          connections: () => connections,
          open: () => spoken.size,
          requests,
          until: (condition) =>
            Effect.callback<void>((resume) => {
              const look = () => {
                if (!condition(handle)) return
                waiting.delete(look)
                resume(Effect.void)
              }
              waiting.add(look)
              look()
              return Effect.sync(() => waiting.delete(look))
            }),
          behave: (next) => {
            behaviour = next
          },
          endConnections: () => {
            for (const socket of spoken) socket.end()
          }
        }
        const close = () => {
          server.close()
          for (const socket of accepted) socket.destroy()
        }
        resume(Effect.succeed({ handle, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ handle }) => handle))

export interface HostileTlsServer extends HostileServer {
  /** Shows another certificate to whoever connects from now on. */
  readonly present: (identity: ServerIdentity) => void
}

/** TLS that is as good as `tls` says; the behaviour begins once a request is read. */
export const makeTlsServer = Effect.fnUntraced(function* (
  identity: ServerIdentity,
  behaviour: Behaviour,
  tls: Omit<ServerOptions, "key" | "cert"> = {}
): Effect.fn.Return<HostileTlsServer, never, Scope.Scope> {
  const server = createHttpsServer({ ...tls, ...identity })
  const handle = yield* serve(server, { connectionEvent: "secureConnection", behaviour })
  return {
    ...handle,
    present: (next) => server.setSecureContext({ ...tls, ...next })
  }
})

export const makePlainHttpServer = Effect.suspend(() =>
  serve(createHttpServer(), { connectionEvent: "connection", behaviour: json(200, {}) })
)

/** Accepts TCP connections and gives each to the handler; speaks no TLS. */
export const makeTcpServer = (onConnection: (socket: Socket) => void) =>
  Effect.suspend(() => {
    const server = createTcpServer(onConnection)
    return serve(server, { connectionEvent: "connection", behaviour: silence })
  })

export const json =
  (status: number, body: unknown, headers: { readonly [name: string]: string } = {}): Behaviour =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers })
    response.end(JSON.stringify(body))
  }

export const text =
  (status: number, body: string, headers: { readonly [name: string]: string } = {}): Behaviour =>
  (response) => {
    response.writeHead(status, { "content-type": "text/html", ...headers })
    response.end(body)
  }

/** These bytes as they are, and the end of the connection. */
export const raw =
  (...lines: ReadonlyArray<string>): Behaviour =>
  ({ socket }) => {
    socket?.end(lines.join("\r\n"))
  }

/** Reads the request and never says anything. */
export const silence: Behaviour = () => undefined

/** Ends the connection without an answer. */
export const hangUp: Behaviour = ({ socket }) => {
  socket?.destroy()
}

/** The head and some of the body, and then nothing, with the connection open. */
export const stallInBody =
  (status: number): Behaviour =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", "content-length": "1000" })
    response.write('{"crt":')
  }

export const bodyInChunks =
  (size: number, count: number): Behaviour =>
  (response) => {
    response.writeHead(200, { "content-type": "application/json" })
    const chunk = "x".repeat(size)
    for (let index = 0; index < count; index++) response.write(chunk)
    response.end()
  }

/** JSON of the given length once unfolded, whether or not the client accepts gzip. */
export const gzipBomb =
  (bytes: number): Behaviour =>
  (response) => {
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" })
    response.end(gzipSync(Buffer.from(JSON.stringify("0".repeat(bytes)))))
  }
