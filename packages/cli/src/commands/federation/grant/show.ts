import { GrantWithCertificates } from "@mosaic-federation/domain/api/GrantDocuments"
import { DateTime, Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { recordTable } from "../../../CertificateRecordView.ts"
import { grantArgument } from "../../../flags.ts"
import { grantLines } from "../../../GrantView.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

const newest = 20

export const show = Command.make(
  "show",
  { id: grantArgument },
  Effect.fn("grant show")(function* ({ id }) {
    const now = yield* DateTime.now
    const grant = yield* useOperations(({ grants }) => grants.show(id))
    const { certificates } = grant
    yield* print({
      document: Schema.encodeSync(GrantWithCertificates)(grant),
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
