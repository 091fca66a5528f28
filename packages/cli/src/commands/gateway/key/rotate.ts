import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Duration, Effect, Option, Redacted } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { apiKeyArgument } from "../../../ApiKeyArgument.ts"
import { apiKeyDocument, apiKeyLines } from "../../../ApiKeyView.ts"
import { optional } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { Period } from "../../../Period.ts"
import { useApiKeys } from "../../../Services.ts"

const flags = {
  id: apiKeyArgument,
  overlap: Flag.String("overlap").pipe(
    Flag.withSchema(Period),
    Flag.withMetavar("<period>"),
    Flag.withDescription("How long the old key goes on working, so that nobody is cut off: 24h by default"),
    optional,
    Flag.map(Option.getOrElse(() => Duration.hours(24)))
  )
}

export const rotate = Command.make(
  "rotate",
  flags,
  Effect.fn("gateway key rotate")(function* ({ id, overlap }) {
    const { key, old, secret } = yield* useApiKeys((keys) => keys.rotate(id, overlap))
    const now = yield* DateTime.now
    yield* print({
      document: {
        ...apiKeyDocument(key, now),
        key: Redacted.value(secret),
        replaces: apiKeyDocument(old, now)
      },
      lines: [
        ...apiKeyLines(key),
        `key      ${Redacted.value(secret)}`,
        "",
        `The old key ${old.id} works until ${old.expiresAt === null ? "it is revoked" : utc(DateTime.toDateUtc(old.expiresAt))}.`,
        "The new key is shown this once. Keep it in a file of mode 0600."
      ]
    })
  })
).pipe(
  Command.withDescription("Put a new API key in the place of an old one, which goes on working for a while"),
  Command.withExamples([
    {
      command: "mosaic gateway key rotate 7f3a9c0e1b5d2846 --overlap 1h",
      description: "A new key of the same name and scope; the old one ends in an hour"
    }
  ])
)
