import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { catalogue, type CatalogueEntry } from "@mosaic-federation/domain/MosaicError"
import { Effect, Option } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { nearest } from "../../nearest.ts"
import { print } from "../../Output.ts"
import { table } from "../../table.ts"

const flags = {
  code: Argument.String("code").pipe(
    Argument.optional,
    Argument.withDescription("The code of one error, as in GRANT_REVOKED; without it, all of them")
  )
}

const entryLines = (entry: CatalogueEntry): ReadonlyArray<string> => [
  `${entry.title} (${entry.code})`,
  "",
  entry.explanation,
  "",
  `exit code    ${entry.exitCode}`,
  `HTTP status  ${entry.httpStatus}`,
  `retryable    ${entry.retryable ? "yes: the same call may succeed later" : "no: something must be changed first"}`
]

const findEntry = Effect.fnUntraced(function* (given: string) {
  const wanted = given.toUpperCase().replaceAll("-", "_")
  const entry = catalogue.find(({ code }) => code === wanted)
  if (entry !== undefined) return entry
  const close = nearest(
    wanted,
    catalogue.map(({ code }) => code)
  )
  return yield* new UsageInvalid({
    problem: `there is no error ${given}${close === undefined ? "" : `; did you mean ${close}?`}`,
    help: "mosaic federation errors for the list of all"
  })
})

export const errors = Command.make(
  "errors",
  flags,
  Effect.fn("errors")(function* ({ code }) {
    if (Option.isSome(code)) {
      const entry = yield* findEntry(code.value)
      return yield* print({ document: entry, lines: entryLines(entry) })
    }
    yield* print({
      document: { errors: catalogue },
      lines: [
        ...table(
          ["CODE", "EXIT", "HTTP", "RETRY", "WHAT"],
          catalogue.map(({ code, exitCode, httpStatus, retryable, title }) => [
            code,
            String(exitCode),
            String(httpStatus),
            retryable ? "yes" : "no",
            title
          ])
        ),
        "",
        "One of them in full: mosaic federation errors CODE"
      ]
    })
  })
).pipe(
  Command.withDescription("Explain an error by its code, or list every way in which this program can fail"),
  Command.withExamples([
    { command: "mosaic federation errors", description: "All of them" },
    { command: "mosaic federation errors CERTIFICATE_WITHHELD", description: "One of them in full" }
  ])
)
