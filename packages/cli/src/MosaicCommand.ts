/**
 * Runs one command line to its exit code. Whatever goes wrong leaves here as one error of the closed union: three lines
 * on standard error, or one document on standard output with `--json`. The framework's own output waits until it is
 * clear that it is asked for.
 */
import { randomUUID } from "node:crypto"
import { userInfo } from "node:os"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { InternalError, UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { ConfigInvalid } from "@mosaic-federation/domain/ConfigurationErrors"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { isMosaicError, type MosaicError } from "@mosaic-federation/domain/MosaicError"
import { Cause, Console, Effect, Layer, type LogLevel, References, Result } from "effect"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { Answered } from "./Answered.ts"
import { mosaic } from "./commands/mosaic.ts"
import * as CommandLog from "./CommandLog.ts"
import { errorDocument, errorLines } from "./ErrorReport.ts"
import { writeDocument, writeError, writeOut } from "./Output.ts"
import { version } from "./version.ts"

const logLevels: Readonly<Record<string, LogLevel.LogLevel>> = {
  all: "All",
  trace: "Trace",
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
  fatal: "Fatal",
  none: "None"
}

const logLevelOf = (text: string | undefined): LogLevel.LogLevel | undefined =>
  text === undefined || text === "" ? "Warn" : logLevels[text.toLowerCase()]

const builtIns = [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel]

/** Who is on record for what a command does: the user of the system, by number where it has no name. */
const requester = (): string => {
  const user = Result.getOrUndefined(Result.try(() => userInfo().username))
  return `cli:${user ?? `uid-${process.getuid?.() ?? "unknown"}`}`
}

/** What follows `--` is no flag, whatever it looks like. */
const beforeDashes = (argv: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = argv.indexOf("--")
  return end === -1 ? argv : argv.slice(0, end)
}

/** Known before the command line is parsed: its own errors are told in the form that it asks for. */
const wantsJson = (argv: ReadonlyArray<string>): boolean =>
  beforeDashes(argv).some((word) => word === "--json" || word === "--json=true")

/** Of `-1h` the framework would make flags of one letter, and of the last the help. A plain number it takes for a value. */
const negativeValue = (argv: ReadonlyArray<string>): UsageInvalid | undefined => {
  const word = beforeDashes(argv).find((one) => /^-\d+[^\d.]/.test(one))
  if (word === undefined) return undefined
  const path = argv.slice(
    0,
    argv.findIndex((other) => other.startsWith("-"))
  )
  return new UsageInvalid({
    problem: `${JSON.stringify(word)} is no flag; a value that begins with a dash goes behind its flag and =`,
    help: ["mosaic", ...path, "--help"].join(" ")
  })
}

const usageInvalid = ({ commandPath, errors }: CliError.ShowHelp): UsageInvalid => {
  const command = commandPath.join(" ")
  const problem =
    errors.length === 0
      ? `a command is missing after ${command}`
      : errors
          .map(({ message }) =>
            message.replaceAll(/\s*\n\s*/g, " ").replace("Expected: Schema validation failed: ", "")
          )
          .join("; ")
  return new UsageInvalid({ problem, help: `${command} --help` })
}

const firstLine = (text: string) => text.split("\n", 1)[0] ?? ""

const internalError = (defect: unknown): InternalError =>
  new InternalError({
    defect:
      defect instanceof Error ? `${defect.name}: ${firstLine(defect.message)}` : "a value that is no error"
  })

const toMosaicError = (cause: Cause.Cause<unknown>): MosaicError => {
  const squashed = Cause.squash(cause)
  if (isMosaicError(squashed)) return squashed
  return CliError.isCliError(squashed) && squashed._tag === "ShowHelp"
    ? usageInvalid(squashed)
    : internalError(squashed)
}

/** The help, the version and completion scripts are all that the framework prints. */
const captureConsole = () => {
  const lines: Array<string> = []
  const log = (...words: ReadonlyArray<unknown>) => void lines.push(words.join(" "))
  return { lines, console: Object.assign(Object.create(globalThis.console), { log }) as Console.Console }
}

const isBareCommand = (error: unknown) =>
  CliError.isCliError(error) &&
  error._tag === "ShowHelp" &&
  error.errors.length === 0 &&
  error.commandPath.length === 1

const tell = Effect.fnUntraced(function* (error: MosaicError, json: boolean): Effect.fn.Return<number> {
  const lines = writeError(`${errorLines(error).join("\n")}\n`)
  // Where standard output is what fails, the other one is left.
  const told = json ? writeDocument({ error: errorDocument(error) }) : lines
  yield* Effect.catchTag(told, "OutputUnwritable", () => lines)
  return error.exitCode
})

const report = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>, json: boolean, debug: boolean) {
  const squashed = Cause.squash(cause)
  if (squashed instanceof Answered) return yield* tell(squashed.error, false)
  const error = toMosaicError(cause)
  if (debug && error instanceof InternalError) yield* writeError(`${Cause.pretty(cause)}\n`)
  return yield* tell(error, json)
})

/** Never fails: every failure has become an exit code of docs/cli.md. An interruption stays one. */
export const runMosaic = Effect.fnUntraced(function* (argv: ReadonlyArray<string>) {
  const json = wantsJson(argv)
  const setting = process.env["MOSAIC_LOG_LEVEL"]
  const level = logLevelOf(setting)
  if (level === undefined) {
    return yield* tell(
      new ConfigInvalid({
        variable: "MOSAIC_LOG_LEVEL",
        problem: `${JSON.stringify(setting)} is no log level`,
        expects: `one of ${Object.keys(logLevels).join(", ")}`
      }),
      json
    )
  }
  const negative = negativeValue(argv)
  if (negative !== undefined) return yield* tell(negative, json)
  const framework = captureConsole()
  const flush = Effect.suspend(() =>
    framework.lines.length === 0 ? Effect.void : writeOut(`${framework.lines.join("\n")}\n`)
  )
  return yield* Command.runWith(mosaic, { version, renderErrors: false })(argv).pipe(
    Effect.catchIf(isBareCommand, () => Effect.void),
    Effect.andThen(flush),
    Effect.as(0),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : report(cause, json, level === "Debug" || level === "Trace" || level === "All")
    ),
    Effect.provideService(Console.Console, framework.console),
    Effect.provideService(CurrentRequest, { requester: requester(), requestId: randomUUID() }),
    Effect.provideService(References.MinimumLogLevel, level),
    Effect.provide(Layer.mergeAll(NodeServices.layer, CliConfig.layer({ builtIns }), CommandLog.layer))
  )
})
