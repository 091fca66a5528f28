/** The id under which a request is followed: the caller's, where it is one, else a random one. */
import { randomUUID } from "node:crypto"
import type { HttpServerRequest } from "effect/http"

/** Long enough to tell requests apart, and nothing that a log would have to escape. */
const form = /^[A-Za-z0-9._-]{8,64}$/

export const requestIdOf = ({ headers }: HttpServerRequest.HttpServerRequest): string => {
  const given = headers["x-request-id"]
  return given !== undefined && form.test(given) ? given : randomUUID()
}
