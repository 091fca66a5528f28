/** Puts every failure of an endpoint into its answer: the errors of the program, a request that does not decode, a defect. */
import { AnyRequest } from "@mosaic-federation/domain/api/AnyRequest"
import { isMosaicError, type MosaicError } from "@mosaic-federation/domain/MosaicError"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import { Cause, Effect, Layer } from "effect"
import { HttpServerError } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { problemResponse } from "./problemResponse.ts"
import { CurrentRecord } from "./RequestRecord.ts"

const parts: Readonly<Record<string, string>> = {
  Params: "path",
  Headers: "headers",
  Query: "query",
  Payload: "body"
}

const oneLine = (text: string) => text.replaceAll(/\s*\n\s*/g, " ").slice(0, 400)

/** Of what a handler failed with; undefined for what the contract has another answer for. */
const errorOf = (failure: unknown): MosaicError | undefined => {
  if (isMosaicError(failure)) return failure
  if (HttpApiError.HttpApiSchemaError.is(failure)) {
    const part = parts[failure.kind]
    return part === undefined
      ? undefined
      : new RequestInvalid({ problem: `${part}: ${oneLine(failure.cause.message)}` })
  }
  if (HttpServerError.isHttpServerError(failure) && failure.reason._tag === "RequestParseError") {
    return new RequestInvalid({ problem: "body: it ended before its Content-Length" })
  }
  return undefined
}

export const layer = Layer.succeed(
  AnyRequest,
  AnyRequest.of((httpEffect, { endpoint }) =>
    Effect.gen(function* () {
      const record = yield* CurrentRecord
      record.route = endpoint.path
      const answer = (error: MosaicError) => {
        record.errorCode = error.code
        const told = Effect.succeed(problemResponse(error, record.requestId))
        return error.httpStatus < 500
          ? told
          : Effect.andThen(
              Effect.logWarning("request failed", { code: error.code, why: error.message }),
              told
            )
      }
      return yield* Effect.matchCauseEffect(httpEffect, {
        onFailure: (cause) => {
          const error = errorOf(Cause.squash(cause))
          return error === undefined ? Effect.failCause(cause) : answer(error)
        },
        onSuccess: (response) =>
          response.status === 415
            ? answer(new RequestInvalid({ problem: "content-type: expected application/json" }))
            : Effect.succeed(response)
      })
    })
  )
)
