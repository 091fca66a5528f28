import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { CertificateNotConformant } from "@mosaic-federation/domain/CertificateErrors"
import { evaluate } from "@mosaic-federation/x509/CertificateConformance"
import { conformanceLines } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Effect } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { Answered } from "../../../Answered.ts"
import { readCertificateFile } from "../../../CertificateFile.ts"
import { checksDocument } from "../../../CertificateView.ts"
import { errorDocument } from "../../../ErrorReport.ts"
import { rootFlag } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { readTrust } from "../../../Trust.ts"

const flags = {
  file: Argument.String("file").pipe(
    Argument.withDescription("The certificate, PEM with its chain or DER; - for standard input")
  ),
  root: rootFlag
}

export const verify = Command.make(
  "verify",
  flags,
  Effect.fn("cert verify")(function* ({ file, root }) {
    const { oids, roots } = yield* readTrust(root)
    if (roots.length === 0) {
      return yield* new UsageInvalid({
        problem:
          "--root is not given and STEP_CA_ROOT_CERT_PATH is not set, so there is nothing to verify against",
        help: "mosaic federation cert verify --help"
      })
    }
    const { chain, leaf, source } = yield* readCertificateFile(file)
    const now = DateTime.toDateUtc(yield* DateTime.now)
    const evaluations = evaluate({ leaf, chain }, {}, { roots, oids, now })
    const mismatches = evaluations
      .filter(({ outcome }) => outcome === "mismatch")
      .map(({ expected, field, found }) => ({ field, expected, found }))
    const document = { source, conformant: mismatches.length === 0, checks: checksDocument(evaluations) }
    const lines = conformanceLines(evaluations)
    if (mismatches.length === 0) {
      return yield* print({
        document,
        lines: [...lines, "", `${source}: a valid grant certificate, as far as it can be told offline`]
      })
    }
    const error = new CertificateNotConformant({ source, mismatches })
    yield* print({ document: { ...document, error: errorDocument(error) }, lines: [...lines, ""] })
    return yield* new Answered({ error })
  })
).pipe(
  Command.withDescription(
    "Verify a grant certificate offline, check by check. What only the grantor knows (the CSR, the grant's end, whether it is revoked) is marked n/a and not passed"
  ),
  Command.withExamples([
    {
      command: "mosaic federation cert verify peer.crt --root root_ca.crt",
      description: "Every check, and exit code 6 where one fails"
    },
    {
      command: "cat peer.crt | mosaic federation cert verify - --json",
      description: "From standard input, with the root that STEP_CA_ROOT_CERT_PATH names"
    }
  ])
)
