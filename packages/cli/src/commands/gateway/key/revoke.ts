import { DateTime, Effect } from "effect"
import * as Command from "effect/cli/Command"
import { apiKeyArgument } from "../../../ApiKeyArgument.ts"
import { apiKeyDocument } from "../../../ApiKeyView.ts"
import { print } from "../../../Output.ts"
import { useApiKeys } from "../../../Services.ts"

export const revoke = Command.make(
  "revoke",
  { id: apiKeyArgument },
  Effect.fn("gateway key revoke")(function* ({ id }) {
    const key = yield* useApiKeys((keys) => keys.revoke(id))
    yield* print({
      document: apiKeyDocument(key, yield* DateTime.now),
      lines: [`API key ${key.id} (${key.name}) is revoked: every gateway refuses it from now on.`]
    })
  })
).pipe(
  Command.withDescription("Revoke an API key for good"),
  Command.withExamples([
    { command: "mosaic gateway key revoke 7f3a9c0e1b5d2846", description: "By its id, as key list shows it" }
  ])
)
