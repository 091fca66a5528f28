import { Effect, Option } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { entryDocument } from "../../AuditEntryView.ts"
import { optional } from "../../flags.ts"
import { Json, writeError, writeOut } from "../../Output.ts"
import { useAudit } from "../../Services.ts"

const flags = {
  after: Flag.Int("after").pipe(
    Flag.filter(
      (height) => height >= 0,
      () => "Expected a height, which is 0 or more"
    ),
    Flag.withMetavar("<height>"),
    Flag.withDescription("Only entries above this height, to go on where an earlier export ended"),
    optional,
    Flag.map(Option.getOrElse(() => 0))
  )
}

export const exportAll = Command.make(
  "export",
  flags,
  Effect.fn("audit export")(function* ({ after }) {
    const json = yield* Json
    // Written page by page: a record of years is larger than a process should be.
    yield* useAudit((audit) =>
      Effect.gen(function* () {
        if (json) yield* writeOut('{"entries":[')
        let last = after
        let entries = yield* audit.entries(after)
        const [first] = entries
        if (first !== undefined && first.height > after + 1) {
          yield* writeError(
            `Nothing is there from height ${after + 1} to ${first.height - 1}: pruned, or cut out, as mosaic audit verify tells.\n`
          )
        }
        while (entries.length > 0) {
          const texts = entries.map((entry) => JSON.stringify(entryDocument(entry)))
          const comma = last === after ? "" : ","
          yield* writeOut(json ? `${comma}${texts.join(",")}` : `${texts.join("\n")}\n`)
          last = entries.at(-1)?.height ?? last
          entries = yield* audit.entries(last)
        }
        if (json) yield* writeOut(`],"next":${last}}\n`)
      })
    )
  })
).pipe(
  Command.withDescription(
    "Write every entry of the audit record, the oldest first: one JSON object a line, or one document with --json"
  ),
  Command.withExamples([
    { command: "mosaic audit export > audit.jsonl", description: "All of it, a line an entry" },
    {
      command: "mosaic audit export --after 1204 --json",
      description: "What came since, as one document"
    }
  ])
)
