/**
 * Errors on the wire: problem details (RFC 9457) of the closed union, each class with its own schema, so that the server
 * fails with the very classes that the program fails with and the typed client gets them back. What a class does not
 * declare as a field cannot be sent.
 */
import { Effect, Option, Schema, SchemaIssue, SchemaTransformation } from "effect"
import { HttpApiSchema } from "effect/http-api"
import { CurrentRequest } from "../CurrentRequest.ts"
import { type ErrorClassStatics, withRemedy } from "../ErrorClass.ts"
import { MosaicError } from "../MosaicError.ts"
import { callersRemedy, isOfGateway } from "./CallersRemedy.ts"

export const problemMediaType = "application/problem+json"

/** The body of every answer that is no success. */
export const Problem = Schema.Struct({
  /** Where the code is documented. */
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  /** The evidence, in one sentence. */
  detail: Schema.String,
  code: Schema.String,
  /** What to do, in one sentence for whoever asked. */
  remediation: Schema.String,
  /** True where the same request may succeed later with nothing changed. */
  retryable: Schema.Boolean,
  /** Also in the header X-Request-Id and in the gateway's log. */
  requestId: Schema.String,
  /** The fields of the error; docs/errors.md lists them by code. */
  details: Schema.Record(Schema.String, Schema.Unknown)
})

export type Problem = typeof Problem.Type

/** A reference to a page of the gateway that answers (RFC 9457 §3.1.1), so that it describes that version. */
export const errorsPath = "/docs/errors"

const json = Schema.toCodecJson(MosaicError)
const encode = Schema.encodeSync(json)
const decode = Schema.decodeUnknownOption(json)

export const problemOf = (error: MosaicError, requestId: string): Problem => {
  const { _tag, ...details } = encode(error) as { readonly _tag: string } & Record<string, unknown>
  const { code, httpStatus, message, retryable, title } = error
  return {
    type: `${errorsPath}#${code.toLowerCase()}`,
    title,
    status: httpStatus,
    detail: message,
    code,
    remediation: callersRemedy(error, requestId),
    retryable,
    requestId,
    details
  }
}

const tags: ReadonlyMap<string, string> = new Map(
  MosaicError.members.map(({ code, identifier }) => [code, identifier])
)

/** None for a code that a newer gateway may have. */
export const errorOf = ({ code, details, requestId }: Problem): Option.Option<MosaicError> =>
  Option.map(decode({ _tag: tags.get(code), ...details }), (error) =>
    isOfGateway(error) ? withRemedy(error, callersRemedy(error, requestId)) : error
  )

type AnyErrorClass = Schema.Top &
  ErrorClassStatics & { readonly Type: MosaicError; readonly identifier: string }

/** An error of the union as it is, and as the wire has it. */
export interface ProblemSchema<E> extends Schema.Codec<E, Problem> {}

const make = <C extends AnyErrorClass>(error: C): ProblemSchema<C["Type"]> => {
  const isOurs = Schema.is(error)
  const wire = Schema.Struct({
    ...Problem.fields,
    status: Schema.Literal(error.httpStatus),
    code: Schema.Literal(error.code)
  }).annotate({
    identifier: `${error.identifier}Problem`,
    title: error.title,
    description: error.explanation
  })
  return wire.pipe(
    Schema.decodeTo(
      Schema.toType(error),
      SchemaTransformation.transformEffect<C["Type"], typeof wire.Type>({
        decode: (problem) =>
          Option.match(Option.filter(errorOf(problem), isOurs), {
            onNone: () => Effect.fail(new SchemaIssue.InvalidValue({ expected: error.code }, problem)),
            onSome: Effect.succeed
          }),
        encode: (instance) => Effect.map(CurrentRequest, ({ requestId }) => problemOf(instance, requestId))
      })
    )
  )
}

/** For the `error` of an endpoint: one schema to a class, with its status. */
export const problems = <const C extends ReadonlyArray<AnyErrorClass>>(
  errors: C
): ReadonlyArray<ProblemSchema<C[number]["Type"]>> =>
  errors.map((error) =>
    make(error).pipe(
      HttpApiSchema.asJson({ contentType: problemMediaType }),
      HttpApiSchema.status(error.httpStatus)
    )
  )
