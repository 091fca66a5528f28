import { Effect, Option } from "effect"
import * as Command from "effect/cli/Command"
import { recordDocument, recordTable } from "../../../CertificateRecordView.ts"
import { grantFlag, limitFlag, optional } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useGrants } from "../../../Services.ts"

export const list = Command.make(
  "list",
  { grant: optional(grantFlag), limit: limitFlag },
  Effect.fn("cert list")(function* ({ grant, limit }) {
    const records = yield* useGrants((grants) =>
      grants.certificates({ limit, ...(Option.isSome(grant) ? { grantId: grant.value } : {}) })
    )
    yield* print({
      document: { certificates: records.map(recordDocument) },
      lines:
        records.length === 0
          ? ["No certificate is on record. Issue one: mosaic federation cert issue --help"]
          : recordTable(records)
    })
  })
).pipe(
  Command.withDescription("List what is on record of certificates, those refused and withheld too"),
  Command.withExamples([
    { command: "mosaic federation cert list", description: "The newest 100" },
    {
      command: "mosaic federation cert list --grant 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --json",
      description: "Those of one grant, for a script"
    }
  ])
)
