import { CertificateWithChain } from "@mosaic-federation/domain/api/CertificateDocument"
import { DateTime, Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { recordLines } from "../../../CertificateRecordView.ts"
import { serialArgument } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

export const show = Command.make(
  "show",
  { serial: serialArgument },
  Effect.fn("cert show")(function* ({ serial }) {
    const record = yield* useOperations(({ certificates }) => certificates.show(serial))
    yield* print({
      document: Schema.encodeSync(CertificateWithChain)(record),
      lines: [
        ...recordLines(record, yield* DateTime.now),
        ...(record.fullChain === null
          ? []
          : ["", `To a file: mosaic federation cert export ${serial} --cert-out FILE`])
      ]
    })
  })
).pipe(
  Command.withDescription("Show what is on record of one certificate"),
  Command.withExamples([
    {
      command: "mosaic federation cert show 93427531884120366271530982345677012345",
      description: "Its state, its end, and whether the CA has revoked it"
    },
    {
      command: "mosaic federation cert show 93427531884120366271530982345677012345 --json",
      description: "With leaf and chain in PEM, for a script"
    }
  ])
)
