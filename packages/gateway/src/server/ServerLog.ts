/** The server's log: one JSON object to a line on standard error, with what is annotated (request and trace id) beside it. */
import { Cause, Effect, Logger, References } from "effect"

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

/** Stays for as long as the process does: what was written last may fail when the log has been left already. */
const goesOnUnread = () => undefined

/**
 * A log that nobody reads any more (EPIPE) is lost, and no reason to stop serving.
 *
 * The lines of one turn of the event loop go out in one write: under load requests end together, and whoever reads the log
 * is woken once for all of them. What waits when the process ends goes out with it.
 */
const lines = Effect.gen(function* () {
  const waiting: Array<string> = []
  const write = () => {
    if (waiting.length > 0) globalThis.console.error(waiting.splice(0).join("\n"))
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      process.on("exit", write)
      if (!process.stderr.listeners("error").includes(goesOnUnread)) process.stderr.on("error", goesOnUnread)
    }),
    () =>
      Effect.sync(() => {
        write()
        process.off("exit", write)
      })
  )
  return Logger.make<unknown, void>((options) => {
    if (waiting.push(JSON.stringify(entryOf(options))) === 1) setImmediate(write)
  })
})

export const layer = Logger.layer([lines])
