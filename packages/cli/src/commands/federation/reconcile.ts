import { RecordsDiffer } from "@mosaic-federation/domain/CommandErrors"
import type { RevocationDifferences } from "@mosaic-federation/issuance/RevocationComparison"
import { Effect } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { Answered } from "../../Answered.ts"
import { errorDocument } from "../../ErrorReport.ts"
import { print } from "../../Output.ts"
import { useRevocationComparison } from "../../Services.ts"
import { table } from "../../table.ts"

const flags = {
  apply: Flag.Boolean("apply").pipe(
    Flag.withDefault(false),
    Flag.withDescription(
      "Suspend every grant whose revocation the records have lost, and revoke at the CA what it has lost"
    )
  )
}

const linesOf = ({ atCa, forgotten, undone, unknown }: RevocationDifferences): ReadonlyArray<string> => [
  `The CA has ${atCa} revoked certificate${atCa === 1 ? "" : "s"} on its list, ${unknown} of which the records do not know.`,
  ...(undone.length === 0
    ? []
    : [
        "",
        "Revoked at the CA, of a grant that is active here:",
        ...table(
          ["GRANT", "PEER", "SERIAL"],
          undone.map(({ grantId, peer, serial }) => [grantId, peer, serial])
        )
      ]),
  ...(forgotten.length === 0
    ? []
    : ["", "Revoked here, and not at the CA:", ...forgotten.map((serial) => `  ${serial}`)])
]

export const reconcile = Command.make(
  "reconcile",
  flags,
  Effect.fn("federation reconcile")(function* ({ apply }) {
    const differences = yield* useRevocationComparison((comparison) =>
      Effect.gen(function* () {
        const found = yield* comparison.compare
        if (apply) yield* comparison.settle(found)
        return found
      })
    )
    const { forgotten, undone } = differences
    const differ = undone.length + forgotten.length > 0
    const error =
      differ && !apply ? new RecordsDiffer({ undone: undone.length, forgotten: forgotten.length }) : undefined
    yield* print({
      document: {
        ...differences,
        applied: apply && differ,
        ...(error === undefined ? {} : { error: errorDocument(error) })
      },
      lines: [
        ...linesOf(differences),
        "",
        ...(!differ
          ? ["Records and CA agree."]
          : apply
            ? [
                "These grants are suspended, and these certificates are revoked at the CA again.",
                "Look at each grant, then revoke it (grant revoke) or have it go on."
              ]
            : [])
      ]
    })
    if (error !== undefined) return yield* new Answered({ error })
  })
).pipe(
  Command.withDescription(
    "Compare what the records and the CA know of revocations: after either was restored from a backup"
  ),
  Command.withExamples([
    { command: "mosaic federation reconcile", description: "Exit code 7 where one has lost a revocation" },
    { command: "mosaic federation reconcile --apply", description: "Stop what came back to life" }
  ])
)
