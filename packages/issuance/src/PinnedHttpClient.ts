/**
 * One HTTP exchange, with the CA or with a gateway, over a connection that trusts the pinned roots and nothing else,
 * whatever the process's environment says. Every way in which an exchange can fail has its own error, told by codes and by whether the request
 * had begun to leave. It never tries again: what may be repeated is the caller's decision (`nothingWasSent`). Statuses
 * other than 3xx are answers, and what they and the JSON mean is left to the caller.
 */
import {
  CaCertificateExpired,
  CaConnectionRefused,
  CaConnectionReset,
  CaHostNameMismatch,
  CaIssuerUnknown,
  CaNameNotResolved,
  CaRedirected,
  CaResponseEmpty,
  CaResponseNotJson,
  CaResponseShape,
  CaResponseTooLarge,
  CaResponseTruncated,
  CaTimeout,
  CaTlsFailed,
  CaUnreachable,
  type TransportError
} from "@mosaic-federation/domain/TransportErrors"
import { NodeHttpClient } from "@effect/platform-node"
import { Context, Duration, Effect, Layer, Option, Redacted, Result, type Scope } from "effect"
import { HttpBody } from "effect/http"
import { Socket } from "node:net"
import { checkServerIdentity, createSecureContext } from "node:tls"
import { buildConnector, type Dispatcher, errors } from "undici"
import { spanned } from "./internal/spanned.ts"
import { IssuanceConfig } from "./IssuanceConfig.ts"

export interface ClientCertificate {
  /** Leaf first, then its chain. */
  readonly fullChainPem: string
  readonly privateKeyPem: Redacted.Redacted
}

export interface PinnedHttpClientOptions {
  /** Scheme, host and port of the server; https only. */
  readonly baseUrl: URL
  /** PEM certificates; the server's TLS certificate must chain to one of them. With none, nothing is trusted. */
  readonly rootsPem: ReadonlyArray<string>
  /** Also certificates that are no roots end a chain, each by itself: for a server that is known by nothing else yet. */
  readonly anyAnchor?: boolean
  /** Shown to a server that asks for one. */
  readonly certificate?: ClientCertificate
  /** DNS, TCP and TLS together; 2 s by default. */
  readonly connectTimeout?: Duration.Duration
  /** The whole exchange, waiting for a free connection and the body included; 10 s by default. */
  readonly totalTimeout?: Duration.Duration
  /** Bound of a body as it is on the wire; 1 MiB by default. */
  readonly maxResponseBytes?: number
  /** Most connections at a time, 64 by default; further requests wait for a free one. */
  readonly connections?: number
}

export interface PinnedRequest {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE"
  /** Begins with a slash; may hold a query. */
  readonly path: string
  /** Sent as JSON, unless it is encoded already. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** What a 2xx must be: `json` by default. */
  readonly accept?: "json" | "bytes"
  /** Sent as X-Request-Id, which step-ca takes over into its log; left out unless 1 to 128 visible ASCII characters. */
  readonly requestId?: string
}

export interface PinnedResponse {
  /** 200 or more, and never a redirect. */
  readonly status: number
  /** Names in lower case. */
  readonly headers: { readonly [name: string]: string | undefined }
  /**
   * 2xx: the parsed JSON, or a `Uint8Array` where bytes were asked for. Otherwise the status is the answer: the JSON
   * where the body is JSON, and undefined where it is not, or could not be read to its end.
   */
  readonly body: unknown
}

/** Undici's own default, stated because `CaResponseTooLarge` names it. */
const maxHeadBytes = 16 * 1024

/** step-ca closes a connection that was idle for 15 s; ours must be gone before. */
const idleMillis = 10_000

/** TLS 1.3 suites and, for 1.2, ECDHE with AEAD alone (RFC 9325 §4.2), so that `--tls-cipher-list` changes nothing. */
const ciphers = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-RSA-CHACHA20-POLY1305"
].join(":")

type Head = Pick<PinnedResponse, "status" | "headers">

/** What is known of one exchange while it runs. */
interface Exchange {
  /** There from the moment before the first byte of the request is written. */
  started: Dispatcher.DispatchController | undefined
  /** Of the answer; of a refusal its status is all that matters. */
  head: Head | undefined
}

const connectTimedOut = "MOSAIC_CONNECT_TIMEOUT"

/**
 * Undici's connector, with a timer of our own: its timers are half a second coarse. Nothing is left to defaults that
 * `NODE_TLS_REJECT_UNAUTHORIZED`, `NODE_EXTRA_CA_CERTS`, `--use-system-ca`, `--tls-min-v1.0` or a patched
 * `tls.DEFAULT_*` could change.
 */
const pinnedConnector = (
  { anyAnchor = false, certificate, rootsPem }: PinnedHttpClientOptions,
  connectTimeout: Duration.Duration
): buildConnector.connector => {
  const connect = buildConnector({
    secureContext: createSecureContext({
      ca: [...rootsPem],
      ...(certificate === undefined
        ? undefined
        : { cert: certificate.fullChainPem, key: Redacted.value(certificate.privateKeyPem) }),
      minVersion: "TLSv1.2",
      maxVersion: "TLSv1.3",
      ciphers,
      allowPartialTrustChain: anyAnchor
    }),
    rejectUnauthorized: true,
    checkServerIdentity,
    // Each connection is verified whole: Node does not check the host name of a resumed session.
    maxCachedSessions: 0,
    allowH2: false,
    timeout: 0
  })
  return (options, callback) => {
    const socket: unknown = connect(options, (...result) => {
      clearTimeout(timer)
      callback(...result)
    })
    const timer = setTimeout(() => {
      if (socket instanceof Socket) {
        socket.destroy(Object.assign(new Error("connect timeout"), { code: connectTimedOut }))
      }
    }, Duration.toMillis(connectTimeout))
  }
}

const codeOf = (cause: unknown): string | undefined =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined

/** Of a host with several addresses, each failed for a reason of its own: a refusal tells most. */
const connectCodeOf = (cause: unknown): string => {
  const codes = cause instanceof AggregateError ? cause.errors.map(codeOf) : []
  return codes.find((code) => code === "ECONNREFUSED") ?? codeOf(cause) ?? "UNKNOWN"
}

/** `X509_V_ERR_*` as Node names them: the chain is not of this time. */
const outOfDate = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "ERROR_IN_CERT_NOT_BEFORE_FIELD",
  "ERROR_IN_CERT_NOT_AFTER_FIELD"
])

/** `X509_V_ERR_*` as Node names them: the chain does not lead to a root, or not by certificates that may issue. */
const unverified = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "CERT_SIGNATURE_FAILURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_CHAIN_TOO_LONG",
  "CERT_REVOKED",
  "INVALID_CA",
  "PATH_LENGTH_EXCEEDED",
  "INVALID_PURPOSE",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
  "UNSPECIFIED"
])

const notResolved = new Set(["ENOTFOUND", "ENODATA", "ESERVFAIL", "ENONAME", "EBADNAME"])

const handshakeBroken = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "EPROTO", "UND_ERR_SOCKET"])

/** Of a request of which nothing was sent. */
const connectFailure = (
  origin: string,
  cause: unknown,
  connectTimeout: Duration.Duration
): TransportError => {
  const reason = connectCodeOf(cause)
  if (reason === "ECONNREFUSED") return new CaConnectionRefused({ origin })
  if (reason === connectTimedOut) {
    return new CaTimeout({ origin, phase: "connect", afterMillis: wholeMillis(connectTimeout) })
  }
  if (notResolved.has(reason) || reason.startsWith("EAI_")) return new CaNameNotResolved({ origin, reason })
  if (outOfDate.has(reason)) return new CaCertificateExpired({ origin, reason })
  if (unverified.has(reason)) return new CaIssuerUnknown({ origin, reason })
  if (reason === "ERR_TLS_CERT_ALTNAME_INVALID" || reason === "ERR_TLS_CERT_ALTNAME_FORMAT") {
    return new CaHostNameMismatch({ origin })
  }
  if (handshakeBroken.has(reason) || reason.startsWith("ERR_SSL_") || reason.startsWith("ERR_TLS_")) {
    return new CaTlsFailed({ origin, reason })
  }
  return new CaUnreachable({ origin, reason })
}

/** Of a request that had begun to leave, before the head of an answer was there. */
const headFailure = (origin: string, cause: unknown): TransportError => {
  const code = codeOf(cause)
  if (code === "UND_ERR_HEADERS_OVERFLOW") return new CaResponseTooLarge({ origin, mostBytes: maxHeadBytes })
  // Undici 8 sets no code on a parser's error.
  if (cause instanceof errors.HTTPParserError || code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH") {
    return new CaResponseShape({ origin, problem: "the answer is not HTTP/1.1 (RFC 9112)" })
  }
  return new CaConnectionReset({ origin })
}

/** After the head of an answer: whatever else breaks off a body, broken framing included, cuts it short. */
const bodyFailure = (origin: string, cause: unknown, mostBytes: number): TransportError =>
  codeOf(cause) === "UND_ERR_RES_EXCEEDED_MAX_SIZE"
    ? new CaResponseTooLarge({ origin, mostBytes })
    : new CaResponseTruncated({ origin })

/**
 * True where the error proves that the request never began to leave, so that the CA can have signed nothing. Of all
 * others it may have: also of a connection that the CA closed for idleness just as the request was written, which
 * cannot be told from one that it closed after signing. Undici repeats neither.
 */
export const nothingWasSent = (error: TransportError): boolean => {
  switch (error._tag) {
    case "CaConnectionRefused":
    case "CaUnreachable":
    case "CaNameNotResolved":
    case "CaIssuerUnknown":
    case "CaCertificateExpired":
    case "CaHostNameMismatch":
    case "CaTlsFailed":
      return true
    case "CaTimeout":
      return error.phase === "connect"
    case "CaConnectionReset":
    case "CaResponseTooLarge":
    case "CaResponseTruncated":
    case "CaResponseNotJson":
    case "CaResponseEmpty":
    case "CaResponseShape":
    case "CaRedirected":
      return false
  }
}

const wholeMillis = (duration: Duration.Duration) => Math.round(Duration.toMillis(duration))

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** RFC 8259 §8.1: UTF-8, and nothing else. */
const parseJson = (bytes: Uint8Array): Option.Option<unknown> =>
  Option.liftThrowable((): unknown => JSON.parse(utf8.decode(bytes)))()

const visibleAscii = /^[\x21-\x7e]{1,128}$/

/** Encoded already, or as JSON. */
const encodedBody = (body: unknown): { readonly octets: Uint8Array | string; readonly type: string } => {
  if (!HttpBody.isHttpBody(body)) return { octets: JSON.stringify(body), type: "application/json" }
  if (body._tag !== "Uint8Array") throw new Error(`a body of the kind ${body._tag}`)
  return { octets: body.body, type: body.contentType }
}

const dispatchOptions = (origin: string, request: PinnedRequest): Dispatcher.DispatchOptions => {
  const body = request.body === undefined ? undefined : encodedBody(request.body)
  return {
    origin,
    path: request.path,
    method: request.method,
    headers: {
      accept: request.accept === "bytes" ? "*/*" : "application/json",
      // The bound holds for what is on the wire, so nothing may unfold after it.
      "accept-encoding": "identity",
      "user-agent": "mosaic-federation",
      ...(body === undefined ? undefined : { "content-type": body.type }),
      ...(request.requestId !== undefined && visibleAscii.test(request.requestId)
        ? { "x-request-id": request.requestId }
        : undefined),
      ...request.headers
    },
    body: body?.octets ?? null
  }
}

/** RFC 9110 §5.3: fields of one name are one list. */
const joined = (headers: {
  readonly [name: string]: string | ReadonlyArray<string> | undefined
}): PinnedResponse["headers"] =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      typeof value === "object" ? value.join(", ") : value
    ])
  )

/** A head, and the octets of the body. */
interface Received extends Head {
  readonly octets: Uint8Array | undefined
}

const isSuccess = (status: number) => status >= 200 && status < 300

const isRedirect = (status: number) => status >= 300 && status < 400

/** Of a refusal the status is the answer, whether its body comes or not. */
const withoutBody = (head: Head, error: TransportError): Effect.Effect<Received, TransportError> =>
  isSuccess(head.status) ? Effect.fail(error) : Effect.succeed({ ...head, octets: undefined })

const make = Effect.fnUntraced(function* (
  options: PinnedHttpClientOptions
): Effect.fn.Return<PinnedHttpClient["Service"], never, Scope.Scope> {
  const {
    baseUrl,
    connectTimeout = Duration.seconds(2),
    connections = 64,
    maxResponseBytes = 1024 * 1024,
    totalTimeout = Duration.seconds(10)
  } = options
  if (baseUrl.protocol !== "https:") return yield* Effect.die(new Error("baseUrl is not https"))
  const { origin } = baseUrl

  const dispatcher = yield* NodeHttpClient.makeDispatcherOptions({
    connect: pinnedConnector(options, connectTimeout),
    connections,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: idleMillis,
    // Also where the CA says in Keep-Alive that it would wait longer.
    keepAliveMaxTimeout: idleMillis,
    maxHeaderSize: maxHeadBytes,
    maxResponseSize: maxResponseBytes
  })
  const brokenOff = ({ head, started }: Exchange, error: Error): Effect.Effect<Received, TransportError> => {
    if (started === undefined) return Effect.fail(connectFailure(origin, error, connectTimeout))
    if (head === undefined) return Effect.fail(headFailure(origin, error))
    return withoutBody(head, bodyFailure(origin, error, maxResponseBytes))
  }

  const timedOut = ({ head, started }: Exchange): Effect.Effect<Received, TransportError> => {
    const phase = started === undefined ? "connect" : "answer"
    const error = new CaTimeout({ origin, phase, afterMillis: wholeMillis(totalTimeout) })
    return head === undefined ? Effect.fail(error) : withoutBody(head, error)
  }

  /**
   * The answer as it came. It has no octets where its status is all that is wanted of it, or all that there is. To abort a
   * request closes its connection: an unread body would hold it until the time-out, whose timer is here because Effect's
   * would take two fibers for each exchange.
   */
  const receive = (request: PinnedRequest) =>
    Effect.callback<Received, TransportError>((settle) => {
      const exchange: Exchange = { started: undefined, head: undefined }
      // Undici is in the middle of its own work when it calls, and takes no further request then.
      const resume: typeof settle = (answer) => {
        clearTimeout(timer)
        queueMicrotask(() => settle(answer))
      }
      let wanted = true
      const chunks: Array<Uint8Array> = []
      const unwanted = (
        controller: Dispatcher.DispatchController,
        answer: Effect.Effect<Received, TransportError>
      ) => {
        resume(answer)
        controller.abort(new Error("body not wanted"))
      }
      const forget = () => {
        wanted = false
        exchange.started?.abort(new Error("not wanted any more"))
      }
      const timer = setTimeout(() => {
        resume(timedOut(exchange))
        forget()
      }, Duration.toMillis(totalTimeout))
      dispatcher.dispatch(dispatchOptions(origin, request), {
        onRequestStart: (controller) => {
          // Undici starts a request once it has a verified connection for it, and writes none of it before.
          if (wanted) exchange.started = controller
          else controller.abort(new Error("not wanted any more"))
        },
        onResponseStart: (controller, status, headers) => {
          // RFC 9110 §15.2: another answer follows.
          if (status < 200) return
          const head: Head = { status, headers: joined(headers) }
          exchange.head = head
          if (isRedirect(status))
            return unwanted(controller, Effect.fail(new CaRedirected({ origin, status })))
          if (Number(headers["content-length"] ?? 0) > maxResponseBytes) {
            const tooLarge = new CaResponseTooLarge({ origin, mostBytes: maxResponseBytes })
            unwanted(controller, withoutBody(head, tooLarge))
          }
        },
        onResponseData: (_, chunk) => void chunks.push(chunk),
        onResponseEnd: () => {
          const { head } = exchange
          if (head !== undefined) resume(Effect.succeed({ ...head, octets: Buffer.concat(chunks) }))
        },
        onResponseError: (_, error) => resume(brokenOff(exchange, error))
      })
      return Effect.sync(() => {
        clearTimeout(timer)
        forget()
      })
    })

  /** What the octets say. */
  const read = (
    { headers, octets, status }: Received,
    accept: PinnedRequest["accept"]
  ): Result.Result<PinnedResponse, TransportError> => {
    if (!isSuccess(status)) {
      const body = octets === undefined ? undefined : Option.getOrUndefined(parseJson(octets))
      return Result.succeed({ status, headers, body })
    }
    if (octets === undefined || octets.length === 0)
      return Result.fail(new CaResponseEmpty({ origin, status }))
    if (accept === "bytes") return Result.succeed({ status, headers, body: octets })
    const body = parseJson(octets)
    return Option.isNone(body)
      ? Result.fail(new CaResponseNotJson({ origin, status }))
      : Result.succeed({ status, headers, body: body.value })
  }

  const request = Effect.fnUntraced(function* (
    request: PinnedRequest
  ): Effect.fn.Return<PinnedResponse, TransportError> {
    const { accept, method, path } = request
    if (!path.startsWith("/")) return yield* Effect.die(new Error("path does not begin with a slash"))
    yield* Effect.annotateCurrentSpan({ "http.request.method": method, "url.path": path.split("?", 1)[0] })
    const received = yield* receive(request)
    yield* Effect.annotateCurrentSpan("http.response.status_code", received.status)
    return yield* Effect.fromResult(read(received, accept))
  }, spanned("PinnedHttpClient.request"))

  return PinnedHttpClient.of({ request })
})

export class PinnedHttpClient extends Context.Service<
  PinnedHttpClient,
  {
    /** A `baseUrl` that is not https, or a path without its slash, is a defect. */
    readonly request: (request: PinnedRequest) => Effect.Effect<PinnedResponse, TransportError>
  }
>()("@mosaic-federation/issuance/PinnedHttpClient") {
  /** The pool lives as long as the scope. */
  static readonly make = make

  static readonly layerOf = (options: PinnedHttpClientOptions) =>
    Layer.effect(PinnedHttpClient, make(options))

  static readonly layerNoDeps = Layer.unwrap(
    IssuanceConfig.use(({ caUrl, connectTimeout, roots, totalTimeout }) =>
      Effect.succeed(
        this.layerOf({ baseUrl: caUrl, rootsPem: roots.map(({ pem }) => pem), connectTimeout, totalTimeout })
      )
    )
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(IssuanceConfig.layer))
}
