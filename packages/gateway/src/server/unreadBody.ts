/** A body that has not arrived when its request is given up: the answer goes out before its connection ends. */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type { HttpServerRequest } from "effect/http"

export const isBodyUnread = (request: HttpServerRequest.HttpServerRequest): boolean =>
  !NodeHttpServerRequest.toIncomingMessage(request).complete

/** Whoever is interrupted while it reads a body destroys that body, and node with it the socket that the answer needs. */
export const spareSocket = (request: HttpServerRequest.HttpServerRequest): void => {
  const message = NodeHttpServerRequest.toIncomingMessage(request)
  if (!message.complete) message.destroy = () => message
}
