import { CertificateRevocationDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { serialArgument, reasonFlag } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

const instant = (at: DateTime.Utc) => utc(DateTime.toDateUtc(at))

const lines = (
  revocation: typeof CertificateRevocationDocument.Type,
  now: DateTime.Utc
): ReadonlyArray<string> => {
  const { caRevocations, notAfter, revokedAtCa, serial, state } = revocation
  const name = `Certificate ${serial}`
  if (DateTime.isLessThanOrEqualTo(notAfter, now) && revokedAtCa === null)
    return [`${name} ended at ${instant(notAfter)}: there is nothing to revoke.`]
  if (state === "refused" || state === "intent")
    return [`${name} was never signed as far as is known (${state}): there is nothing to revoke.`]
  if (revokedAtCa === null) {
    const { because } = caRevocations
    return [
      `${name} is revoked here: it renews nowhere. The CA has yet to follow${because === null ? "" : ` (${because})`}: run this again to try now, or leave it to a running gateway.`,
      `It stays valid until ${instant(notAfter)} for whoever asks nobody.`
    ]
  }
  return [
    `${name} is revoked at the CA since ${instant(revokedAtCa)}: it renews nowhere.`,
    `For whoever checks the certificate alone it stays valid until ${instant(notAfter)}.`
  ]
}

export const revoke = Command.make(
  "revoke",
  { serial: serialArgument, reason: reasonFlag },
  Effect.fn("cert revoke")(function* ({ reason, serial }) {
    const revocation = yield* useOperations(({ certificates }) => certificates.revoke(serial, reason))
    yield* print({
      document: Schema.encodeSync(CertificateRevocationDocument)(revocation),
      lines: lines(revocation, yield* DateTime.now)
    })
  })
).pipe(
  Command.withDescription("Revoke one certificate; its grant stays as it is"),
  Command.withExamples([
    {
      command:
        'mosaic federation cert revoke 93427531884120366271530982345677012345 --reason "the key was copied"',
      description: "Have the CA revoke it, and see how far that is"
    }
  ])
)
