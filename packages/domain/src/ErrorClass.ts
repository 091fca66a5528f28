/**
 * Makes the classes of the closed error union. Each class carries, beside its public fields, what every reader of an
 * error needs: a stable code, a title, evidence, a remedy, whether trying again can help, the HTTP status and the exit
 * code. Causes are not fields: what is not declared here can reach neither the wire nor a log.
 */
import { type Cause, Runtime, Schema } from "effect"
import type { ExitCode } from "./ExitCode.ts"

/** What is true of every error of one class, and how its two sentences are made from its fields. */
export interface ErrorSpec<Fields> {
  /** Stable, upper snake case; `docs/errors.md` has a section of this name. */
  readonly code: string
  /** What failed, in one sentence that holds for every instance. */
  readonly title: string
  /** When it arises and what to do, for a reader who has only the code. */
  readonly explanation: string
  readonly httpStatus: number
  readonly exitCode: ExitCode
  /** True where the same call may succeed later with nothing changed. */
  readonly retryable: boolean
  /** Why: the evidence, naming fields by their standard names; shown on one line. */
  readonly message: (fields: Fields) => string
  /** A command to run or a setting to change. */
  readonly remediation: (fields: Fields) => string
}

export interface ErrorFacets {
  readonly code: string
  readonly title: string
  readonly message: string
  readonly remediation: string
  readonly retryable: boolean
  readonly httpStatus: number
  readonly exitCode: ExitCode
}

export interface ErrorClassStatics {
  readonly code: string
  readonly title: string
  readonly explanation: string
  readonly httpStatus: number
  readonly exitCode: ExitCode
  readonly retryable: boolean
}

/**
 * Fields repeat what a peer, the CA or the database wrote: a sentence stays one line, and no control or format
 * character of theirs (Unicode Cc and Cf, with escape sequences and direction marks) reaches a terminal or a log.
 */
const oneLine = (sentence: string): string => sentence.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+ */gu, " ")

/** The error itself, telling another remedy than its class does. */
export const withRemedy = <E extends ErrorFacets>(error: E, sentence: string): E =>
  Object.defineProperty(error, "remediation", { value: oneLine(sentence), configurable: true })

export const ErrorClass =
  <Self>() =>
  <Tag extends string, const Fields extends Schema.Struct.Fields>(
    tag: Tag,
    fields: Fields,
    spec: ErrorSpec<Schema.Struct.Type<Fields>>
  ): Schema.Class<Self, Schema.TaggedStruct<Tag, Fields>, Cause.YieldableError & ErrorFacets> &
    ErrorClassStatics => {
    const Base = Schema.TaggedError<Self>()(tag, fields, {
      httpApiStatus: spec.httpStatus
    }) as unknown as Schema.Class<Self, Schema.TaggedStruct<Tag, Fields>, Cause.YieldableError & ErrorFacets>
    const { code, explanation, exitCode, httpStatus, message, remediation, retryable, title } = spec
    const constant = (value: unknown) => ({ get: () => value, configurable: true })
    Object.defineProperties(Base.prototype, {
      code: constant(code),
      title: constant(title),
      retryable: constant(retryable),
      httpStatus: constant(httpStatus),
      exitCode: constant(exitCode),
      [Runtime.errorExitCode]: constant(exitCode),
      message: {
        get(this: Schema.Struct.Type<Fields>) {
          return oneLine(message(this))
        },
        configurable: true
      },
      remediation: {
        get(this: Schema.Struct.Type<Fields>) {
          return oneLine(remediation(this))
        },
        configurable: true
      }
    })
    return Object.assign(Base, { code, title, explanation, httpStatus, exitCode, retryable })
  }
