import { OperatorScope } from "@mosaic-federation/domain/api/Access"
import { ApiKeyName } from "@mosaic-federation/domain/ApiKey"
import { DateTime, Effect, Option, Redacted } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { apiKeyDocument, apiKeyLines } from "../../../ApiKeyView.ts"
import { optional, required } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { Period } from "../../../Period.ts"
import { useApiKeys } from "../../../Services.ts"

const flags = {
  name: Flag.String("name").pipe(
    Flag.withSchema(ApiKeyName),
    Flag.withMetavar("<name>"),
    Flag.withDescription("Who or what uses it, for the list of keys"),
    required
  ),
  scope: Flag.Literals("scope", OperatorScope.literals).pipe(
    Flag.withDescription("What it allows: read; issue, with all of read; admin, with all of issue"),
    required
  ),
  expiresIn: Flag.String("expires-in").pipe(
    Flag.withSchema(Period),
    Flag.withMetavar("<period>"),
    Flag.withDescription("When it ends: 90d, 12h; without it, never"),
    optional
  )
}

export const create = Command.make(
  "create",
  flags,
  Effect.fn("gateway key create")(function* ({ expiresIn, name, scope }) {
    const { key, secret } = yield* useApiKeys((keys) =>
      keys.create({ name, scope, ...(Option.isSome(expiresIn) ? { lifetime: expiresIn.value } : {}) })
    )
    yield* print({
      document: { ...apiKeyDocument(key, yield* DateTime.now), key: Redacted.value(secret) },
      lines: [
        ...apiKeyLines(key),
        `key      ${Redacted.value(secret)}`,
        "",
        "The key is shown this once. Keep it in a file of mode 0600 and name that in MOSAIC_API_KEY_FILE."
      ]
    })
  })
).pipe(
  Command.withDescription("Make an API key, for an operator or a program of one"),
  Command.withExamples([
    {
      command: "mosaic gateway key create --name alice --scope admin",
      description: "The first key, made where the database is"
    },
    {
      command: "mosaic gateway key create --name prometheus --scope read --expires-in 90d --json",
      description: "A key that ends by itself, for a script"
    }
  ])
)
