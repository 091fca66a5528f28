/** An error as the answer that a client gets: problem details (RFC 9457), and the headers that belong to the status. */
import { problemMediaType, problemOf } from "@mosaic-federation/domain/api/Problem"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { StorageFailed, StorageUnavailable } from "@mosaic-federation/domain/StorageErrors"
import { HttpServerResponse } from "effect/http"

/** The database's own sentence may name hosts, users and rows: it is in the log, under the request's id. */
const forStrangers = (error: MosaicError, requestId: string): MosaicError => {
  const reason = `the gateway's log has the reason under request ${requestId}`
  switch (error._tag) {
    case "StorageUnavailable":
      return new StorageUnavailable({ operation: error.operation, reason })
    case "StorageFailed":
      return new StorageFailed({ operation: error.operation, reason })
    default:
      return error
  }
}

/** RFC 9110 §10.2.3: whole seconds, up, so that nobody comes too early. */
const retryAfter = (error: MosaicError): number | undefined => {
  if ("retryAfterSeconds" in error && error.retryAfterSeconds !== null) return error.retryAfterSeconds
  if (error._tag === "RenewalTooSoon") {
    return Math.max(1, Math.ceil((error.retryAt.epochMilliseconds - Date.now()) / 1000))
  }
  return error.httpStatus === 503 ? 1 : undefined
}

export const problemResponse = (
  error: MosaicError,
  requestId: string
): HttpServerResponse.HttpServerResponse => {
  const problem = problemOf(forStrangers(error, requestId), requestId)
  const seconds = retryAfter(error)
  return HttpServerResponse.text(JSON.stringify(problem), {
    status: problem.status,
    contentType: problemMediaType,
    headers: {
      ...(seconds === undefined ? {} : { "retry-after": String(seconds) }),
      // RFC 6750 §3.
      ...(problem.status === 401
        ? { "www-authenticate": `Bearer realm="mosaic", error="${problem.code}"` }
        : {})
    }
  })
}
