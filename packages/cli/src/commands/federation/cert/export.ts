import { CertificateDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import { CertificateNotFound, OutputUnwritable } from "@mosaic-federation/domain/CommandErrors"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { certOutFlag, forceFlag, serialArgument } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { prepareOutput, reasonOf } from "../../../OutputFile.ts"
import { useOperations } from "../../../Services.ts"

const flags = {
  serial: serialArgument,
  certOut: certOutFlag,
  force: forceFlag
}

const again = (serial: SerialNumber) =>
  `make room or name another file, then again: mosaic federation cert export ${serial} --cert-out FILE`

export const exportCertificate = Command.make(
  "export",
  flags,
  Effect.fn("cert export")(function* ({ certOut, force, serial }) {
    const output = yield* prepareOutput(certOut, { mode: 0o644, force })
    const record = yield* useOperations(({ certificates }) => certificates.show(serial))
    const { fullChain } = record
    if (fullChain === null) return yield* new CertificateNotFound({ serial })
    yield* Effect.andThen(output.fill(fullChain), output.commit).pipe(
      Effect.mapError(
        (error) => new OutputUnwritable({ path: certOut, reason: reasonOf(error), recovery: again(serial) })
      )
    )
    yield* print({
      document: { ...Schema.encodeSync(CertificateDocument)(record), files: { certificate: certOut } },
      lines: [`Wrote ${certOut}: the certificate of serial ${serial} and its chain.`]
    })
  }, Effect.scoped)
).pipe(
  Command.withDescription("Write a certificate that is on record to a file once more"),
  Command.withExamples([
    {
      command: "mosaic federation cert export 93427531884120366271530982345677012345 --cert-out peer.crt",
      description: "The certificate of this serial number, with its chain"
    }
  ])
)
