/** An answer for what node's parser makes no request of: problem details like any other, and the end of the connection. */
import { randomUUID } from "node:crypto"
import { maxHeaderSize, type Server, type ServerResponse, STATUS_CODES } from "node:http"
import type { Duplex } from "node:stream"
import { problemMediaType, problemOf } from "@mosaic-federation/domain/api/Problem"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import { RequestTimedOut } from "@mosaic-federation/domain/ServerErrors"

interface ParserError extends NodeJS.ErrnoException {
  readonly reason?: string
}

/** For the client to read its answer, in ms, before a connection that it does not end is cut. */
const lastWords = 1_000

/** Undefined for an error of the connection, over which nothing can be said. */
const errorOf = ({ code = "", reason = code }: ParserError, millis: number): MosaicError | undefined => {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new RequestTimedOut({ afterSeconds: Math.ceil(millis / 1000) })
  }
  if (code === "HPE_HEADER_OVERFLOW") {
    return new RequestInvalid({ problem: `head: it has more than ${maxHeaderSize} bytes` })
  }
  return code.startsWith("HPE_")
    ? new RequestInvalid({ problem: `head: it is not of HTTP/1.1 (RFC 9112): ${reason}` })
    : undefined
}

const answerOf = (error: MosaicError, requestId: string) => {
  const body = JSON.stringify(problemOf(error, requestId))
  const headers = {
    "content-type": problemMediaType,
    "content-length": String(Buffer.byteLength(body)),
    "x-request-id": requestId,
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    connection: "close",
    date: new Date().toUTCString()
  }
  return { status: error.httpStatus, headers, body }
}

const rawOf = ({ body, headers, status }: ReturnType<typeof answerOf>) =>
  [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    "",
    body
  ].join("\r\n")

/** `note` is told what is answered, and under which id. */
export const answerUnparsed = (
  server: Server,
  note: (error: MosaicError, requestId: string) => void
): void => {
  const newest = new WeakMap<Duplex, ServerResponse>()
  const failed = new WeakSet<Duplex>()
  server.on("request", ({ socket }, response) => void newest.set(socket, response))

  const answer = (socket: Duplex, error: MosaicError) => {
    if (!socket.writable) return
    const requestId = randomUUID()
    socket.end(rawOf(answerOf(error, requestId)))
    setTimeout(() => socket.destroy(), lastWords).unref()
    note(error, requestId)
  }

  server.on("clientError", (cause: ParserError, socket) => {
    // What follows on a connection that has failed fails again.
    if (failed.has(socket)) return
    failed.add(socket)
    const response = newest.get(socket)
    const unread = response !== undefined && !response.req.complete
    const error = errorOf(cause, unread ? server.requestTimeout : server.headersTimeout)
    if (error === undefined || !socket.writable) return void socket.destroy()
    if (response === undefined || response.writableFinished) return answer(socket, error)
    // In their order: it is being answered, or what it does must not be taken for refused.
    if (response.headersSent || !unread) return void response.once("finish", () => answer(socket, error))
    const requestId = randomUUID()
    const { body, headers, status } = answerOf(error, requestId)
    response.writeHead(status, headers).end(body)
    note(error, requestId)
  })
}
