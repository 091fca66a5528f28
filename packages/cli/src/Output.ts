/**
 * The one way to standard output: a single JSON document for programs with `--json`, text for people without. A reader
 * that has seen enough (`| head`) is no failure; a full disk behind a redirection is.
 */
import { OutputUnwritable } from "@mosaic-federation/domain/CommandErrors"
import { Effect } from "effect"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { printable } from "./printable.ts"

export const Json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Print one JSON document on standard output; errors too (docs/cli.md)")
  )
})

const write = (stream: NodeJS.WriteStream, text: string) =>
  Effect.callback<void, NodeJS.ErrnoException>((resume) => {
    // A stream reports a failure twice, to the callback and as an event that would end the process.
    const told = () => undefined
    stream.once("error", told)
    stream.write(text, (error) => {
      if (error instanceof Error) return resume(Effect.fail(error))
      stream.off("error", told)
      resume(Effect.void)
    })
  }).pipe(
    Effect.catchIf(
      ({ code }) => code === "EPIPE",
      () => Effect.void
    )
  )

/** As it is: for PEM, scripts of completions and help. */
export const writeOut = (text: string): Effect.Effect<void, OutputUnwritable> =>
  write(process.stdout, text).pipe(
    Effect.mapError(
      ({ code, message }) =>
        new OutputUnwritable({
          path: "standard output",
          reason: code ?? message,
          recovery: "send it elsewhere: the command has done its work, its output is what is lost"
        })
    )
  )

/** Nobody can be told that standard error is closed. */
export const writeError = (text: string): Effect.Effect<void> => Effect.ignore(write(process.stderr, text))

export const writeDocument = (document: unknown) => writeOut(`${JSON.stringify(document)}\n`)

const writeLines = (lines: ReadonlyArray<string>) => writeOut(printable(`${lines.join("\n")}\n`))

/** What a command has to say, in both forms. `document` is stable and described in docs/cli.md. */
export interface Answer {
  readonly document: unknown
  readonly lines: ReadonlyArray<string>
}

export const print = Effect.fnUntraced(function* (answer: Answer) {
  yield* (yield* Json) ? writeDocument(answer.document) : writeLines(answer.lines)
})
