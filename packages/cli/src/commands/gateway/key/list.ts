import { DateTime, Effect } from "effect"
import * as Command from "effect/cli/Command"
import { apiKeyDocument, apiKeyTable } from "../../../ApiKeyView.ts"
import { print } from "../../../Output.ts"
import { useApiKeys } from "../../../Services.ts"

export const list = Command.make(
  "list",
  {},
  Effect.fn("gateway key list")(function* () {
    const found = yield* useApiKeys((keys) => keys.list)
    const now = yield* DateTime.now
    yield* print({
      document: { keys: found.map((key) => apiKeyDocument(key, now)) },
      lines:
        found.length === 0
          ? ["There is no API key. Make one: mosaic gateway key create --name NAME --scope admin"]
          : apiKeyTable(found, now)
    })
  })
).pipe(
  Command.withDescription("List API keys, the newest first, with their last use"),
  Command.withExamples([
    { command: "mosaic gateway key list", description: "Which keys there are, and which nobody uses" }
  ])
)
