import { GrantId } from "@mosaic-federation/domain/GrantId"
import { DateTime, Effect } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { recordDocument, recordTable } from "../../../CertificateRecordView.ts"
import { grantDocument, grantLines } from "../../../GrantView.ts"
import { print } from "../../../Output.ts"
import { useGrants } from "../../../Services.ts"

const flags = {
  id: Argument.String("grant").pipe(Argument.withSchema(GrantId), Argument.withDescription("The grant's id"))
}

const newest = 20

export const show = Command.make(
  "show",
  flags,
  Effect.fn("grant show")(function* ({ id }) {
    const now = yield* DateTime.now
    const { certificates, grant } = yield* useGrants((grants) =>
      Effect.all({
        grant: grants.find(id),
        certificates: grants.certificates({ grantId: id, limit: newest })
      })
    )
    yield* print({
      document: { ...grantDocument(grant, now), certificates: certificates.map(recordDocument) },
      lines: [
        ...grantLines(grant, now),
        "",
        ...(certificates.length === 0
          ? ["No certificate was asked for under this grant."]
          : [
              `The newest certificates${certificates.length === newest ? ` (${newest}; all: mosaic federation cert list --grant ${id})` : ""}:`,
              ...recordTable(certificates)
            ])
      ]
    })
  })
).pipe(
  Command.withDescription("Show one grant and the certificates that were issued under it"),
  Command.withExamples([
    {
      command: "mosaic federation grant show 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c",
      description: "The grant, its status now and its newest certificates"
    }
  ])
)
