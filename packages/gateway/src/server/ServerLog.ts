/** The server's log: one JSON object to a line on standard error, with what is annotated (request and trace id) beside it. */
import { Cause, Logger, References } from "effect"

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

const textOf = (value: unknown): unknown => {
  if (Cause.isCause(value)) return Cause.pretty(value)
  return value instanceof Error ? (value.stack ?? value.message) : value
}

/** What is logged, in the order of reading: an object beside the words gives its members. */
export const entryOf = (options: Logger.Options<unknown>): Readonly<Record<string, unknown>> => {
  const messages: ReadonlyArray<unknown> = Array.isArray(options.message)
    ? options.message
    : [options.message]
  const fields = messages.filter(isPlain)
  const words = messages.filter((message) => !isPlain(message)).map(textOf)
  return {
    time: options.date.toISOString(),
    level: options.logLevel.toLowerCase(),
    message: words.map(String).join(" "),
    ...options.fiber.getRef(References.CurrentLogAnnotations),
    ...Object.assign({}, ...fields),
    ...(options.cause.reasons.length === 0 ? {} : { cause: Cause.pretty(options.cause) })
  }
}

const line = Logger.make((options) => JSON.stringify(entryOf(options)))

export const layer = Logger.layer([Logger.withConsoleError(line)])
