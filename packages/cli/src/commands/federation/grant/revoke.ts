import { RevocationDocument } from "@mosaic-federation/domain/api/GrantDocuments"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { aftermath, atTheCa } from "../../../CaRevocationsView.ts"
import { grantArgument, reasonFlag } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

export const revoke = Command.make(
  "revoke",
  { id: grantArgument, reason: reasonFlag },
  Effect.fn("grant revoke")(function* ({ id, reason }) {
    const revocation = yield* useOperations(({ grants }) => grants.revoke(id, reason))
    const { alreadyRevoked, caRevocations, lastNotAfter, liveCertificates } = revocation
    const revokedAt = revocation.revokedAt ?? (yield* DateTime.now)
    yield* print({
      document: Schema.encodeSync(RevocationDocument)(revocation),
      lines: [
        alreadyRevoked
          ? `Grant ${id} was revoked before, at ${utc(DateTime.toDateUtc(revokedAt))}: ${revocation.revocationReason ?? "no reason given"}`
          : `Grant ${id} is revoked: it issues no certificate from now on.`,
        aftermath(liveCertificates, lastNotAfter, "it"),
        ...atTheCa(caRevocations, "it", "run this again to try now, or leave it to a running gateway")
      ]
    })
  })
).pipe(
  Command.withDescription("Revoke a grant for good: nothing is issued under it any more"),
  Command.withExamples([
    {
      command:
        'mosaic federation grant revoke 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --reason "the contract ended"',
      description: "Revoke, and see how long certificates that are out stay valid"
    }
  ])
)
