/**
 * A proxy that ends TLS before a gateway, under a root of its own, as a load balancer does. It can lose answers, as a
 * network does, and hold requests and answers back, so that a test can act at a known moment.
 */
import { request as httpRequest, type IncomingMessage } from "node:http"
import { request as httpsRequest } from "node:https"
import {
  type Behaviour,
  type HostileServer,
  makeTlsServer,
  type ReceivedRequest
} from "@mosaic-federation/testing/HostileServer"
import { makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { Effect, type Scope } from "effect"

/** What becomes of a request: lost before or after the gateway has done it, or held back at either point. */
type Fate = "pass" | "lose request" | "lose answer" | "hold request" | "hold answer"

export interface TlsProxy {
  readonly url: string
  readonly rootPem: string
  readonly server: HostileServer
  /** Where it passes requests on to; `ca` where that is https. */
  readonly lead: (target: string, ca?: string) => void
  /** Of requests from now on. */
  readonly decide: (fate: (request: ReceivedRequest) => Fate) => void
  /** Waits until something is held back. */
  readonly holds: Effect.Effect<void>
  /** Lets go of what is held back. */
  readonly release: () => void
}

const forwarded = new Set([
  "content-type",
  "content-length",
  "authorization",
  "mosaic-renewal-proof",
  "x-request-id"
])

export const tlsProxy: Effect.Effect<TlsProxy, never, Scope.Scope> = Effect.gen(function* () {
  const root = yield* makeRoot("Proxy Root CA")
  const identity = yield* makeServerIdentity(root, { names: ["localhost"] })
  let target = { url: "", ca: "" }
  let fateOf: (request: ReceivedRequest) => Fate = () => "pass"
  const held: Array<() => void> = []
  const waiting = new Set<() => void>()
  const hold = (go: () => void) => {
    held.push(go)
    for (const tell of waiting) tell()
  }

  const relay: Behaviour = (response, request) => {
    const { body, headers, method, path } = request
    const fate = fateOf(request)
    const drop = () => response.socket?.destroy()
    if (fate === "lose request") return void drop()
    const deliver = (answer: IncomingMessage, content: Buffer) => {
      if (fate === "lose answer") return void drop()
      const go = () => response.writeHead(answer.statusCode ?? 502, answer.headers).end(content)
      if (fate === "hold answer") hold(go)
      else go()
    }
    const pass = () => {
      const url = new URL(path, target.url)
      const options = {
        method,
        headers: {
          ...Object.fromEntries(Object.entries(headers).filter(([name]) => forwarded.has(name))),
          "x-forwarded-for": "192.0.2.7"
        },
        ca: target.ca
      }
      const passed = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, options, (answer) => {
        const chunks: Array<Buffer> = []
        answer.on("data", (chunk: Buffer) => chunks.push(chunk))
        answer.once("end", () => deliver(answer, Buffer.concat(chunks)))
      })
      passed.once("error", drop)
      passed.end(body)
    }
    if (fate === "hold request") hold(pass)
    else pass()
  }

  const server = yield* makeTlsServer(identity, relay)
  return {
    url: `https://localhost:${server.port}`,
    rootPem: root.pem,
    server,
    lead: (url, ca = "") => {
      target = { url, ca }
    },
    decide: (fate) => {
      fateOf = fate
    },
    holds: Effect.callback<void>((resume) => {
      const look = () => {
        if (held.length === 0) return
        waiting.delete(look)
        resume(Effect.void)
      }
      waiting.add(look)
      look()
      return Effect.sync(() => waiting.delete(look))
    }),
    release: () => {
      for (const go of held.splice(0)) go()
    }
  }
})
