import type { TriedTasks } from "@mosaic-federation/gateway/TaskQueue"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Effect, Option } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { optional } from "../../../flags.ts"
import { grantDocument } from "../../../GrantView.ts"
import { print } from "../../../Output.ts"
import { useGrantsAndTasks } from "../../../Services.ts"

const flags = {
  id: Argument.String("grant").pipe(Argument.withSchema(GrantId), Argument.withDescription("The grant's id")),
  reason: Flag.String("reason").pipe(
    Flag.filter(
      (reason) => reason.trim().length > 0 && reason.length <= 500,
      () => "Expected 1 to 500 characters"
    ),
    Flag.withMetavar("<text>"),
    Flag.withDescription("Why; it stays on record and refusals repeat it"),
    optional,
    Flag.map(Option.getOrElse(() => "revoked by the operator"))
  )
}

/** What a revocation does not do, so that nobody trusts it with more than it does. */
const aftermath = (live: number, last: DateTime.Utc | null): string =>
  live === 0 || last === null
    ? "No certificate of it is valid any more."
    : `${live} certificate${live === 1 ? "" : "s"} of it ${live === 1 ? "stays" : "stay"} valid until ${utc(DateTime.toDateUtc(last))} at the latest, for whoever checks the certificate alone and not the grant.`

/** How far the CA has followed. Its answers do not change what was revoked here. */
const atTheCa = ({ because, done, open }: TriedTasks): ReadonlyArray<string> => {
  const of = (count: number) => `${count} certificate${count === 1 ? "" : "s"}`
  return [
    ...(done === 0 ? [] : [`The CA has revoked ${of(done)} of it: none renews there.`]),
    ...(open === 0
      ? []
      : [
          `The CA has yet to revoke ${of(open)} of it${because === null ? "" : ` (${because})`}: run this again to try now, or leave it to a running gateway.`
        ])
  ]
}

export const revoke = Command.make(
  "revoke",
  flags,
  Effect.fn("grant revoke")(function* ({ id, reason }) {
    const [{ alreadyRevoked, grant, lastNotAfter, liveCertificates }, caRevocations] =
      yield* useGrantsAndTasks((grants, tasks) =>
        Effect.gen(function* () {
          const revocation = yield* grants.revoke(id, reason)
          return [revocation, yield* tasks.tryNow(revocation.caRevocations)] as const
        })
      )
    const now = yield* DateTime.now
    const revokedAt = grant.revokedAt ?? now
    yield* print({
      document: {
        ...grantDocument(grant, now),
        alreadyRevoked,
        liveCertificates,
        lastNotAfter: lastNotAfter === null ? null : DateTime.formatIso(lastNotAfter),
        caRevocations
      },
      lines: [
        alreadyRevoked
          ? `Grant ${grant.id} was revoked before, at ${utc(DateTime.toDateUtc(revokedAt))}: ${grant.revocationReason ?? "no reason given"}`
          : `Grant ${grant.id} is revoked: it issues no certificate from now on.`,
        aftermath(liveCertificates, lastNotAfter),
        ...atTheCa(caRevocations)
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
