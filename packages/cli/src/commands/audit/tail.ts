import { Effect, Option } from "effect"
import * as Command from "effect/cli/Command"
import { entryDocument, entryTable } from "../../AuditEntryView.ts"
import { grantFlag, limitFlag, optional } from "../../flags.ts"
import { print } from "../../Output.ts"
import { useAudit } from "../../Services.ts"

export const tail = Command.make(
  "tail",
  { grant: optional(grantFlag), limit: limitFlag },
  Effect.fn("audit tail")(function* ({ grant, limit }) {
    const query = { limit, ...(Option.isSome(grant) ? { grant: grant.value } : {}) }
    const { entries, unsealed } = yield* useAudit((audit) => audit.tail(query))
    yield* print({
      document: { entries: entries.map(entryDocument), unsealed },
      lines: [
        ...(entries.length === 0 ? ["Nothing is on the audit record yet."] : entryTable(entries)),
        ...(unsealed === 0 ? [] : ["", `${unsealed} more are not sealed yet.`])
      ]
    })
  })
).pipe(
  Command.withDescription("Show the newest entries of the audit record, the newest last"),
  Command.withExamples([
    { command: "mosaic audit tail --limit 20", description: "What was decided last, and by whom" },
    {
      command: "mosaic audit tail --grant 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --json",
      description: "All that became of one grant, for a script"
    }
  ])
)
