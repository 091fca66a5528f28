import { ExplanationDocument } from "@mosaic-federation/domain/api/GrantDocuments"
import { formatLifetime } from "@mosaic-federation/domain/Lifetime"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { grantArgument } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"
import { table } from "../../../table.ts"

const instant = (at: DateTime.Utc) => utc(DateTime.toDateUtc(at))

const verdict = ({
  grant,
  longestLifetime,
  next,
  rules
}: typeof ExplanationDocument.Type): ReadonlyArray<string> => {
  if (longestLifetime === null) {
    const failing = rules.filter(({ outcome }) => outcome === "fails").map(({ errorCode }) => errorCode)
    return [`Grant ${grant.id} may not issue now: ${failing.join(", ")}.`]
  }
  return [
    `Grant ${grant.id} may issue now, for ${formatLifetime(longestLifetime)} at the longest.`,
    ...(next === null
      ? []
      : [`By the clock alone it fails first at ${instant(next.at)}: ${next.rule} (${next.errorCode}).`])
  ]
}

export const explain = Command.make(
  "explain",
  { id: grantArgument },
  Effect.fn("grant explain")(function* ({ id }) {
    const explanation = yield* useOperations(({ grants }) => grants.explain(id))
    yield* print({
      document: Schema.encodeSync(ExplanationDocument)(explanation),
      lines: [
        ...verdict(explanation),
        "",
        ...table(
          ["RULE", "OUTCOME", "HOLDS UNTIL", "FOUND"],
          explanation.rules.map(({ errorCode, found, holdsUntil, outcome, rule }) => [
            rule,
            errorCode ?? outcome,
            holdsUntil === null ? "" : instant(holdsUntil),
            found
          ])
        )
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Explain whether a grant may issue now, for how long, and which rule fails next and when"
  ),
  Command.withExamples([
    {
      command: "mosaic federation grant explain 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c",
      description: "The rules in the order in which an issuance goes through them"
    }
  ])
)
