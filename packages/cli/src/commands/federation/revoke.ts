import { HolderRevocationDocument } from "@mosaic-federation/domain/api/GrantDocuments"
import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import type { PeerName } from "@mosaic-federation/domain/Grant"
import type { UserId } from "@mosaic-federation/domain/UserId"
import type { Holder } from "@mosaic-federation/gateway/operator/GrantOperations"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Effect, Option, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { aftermath, atTheCa } from "../../CaRevocationsView.ts"
import { gatewayFlags } from "../../GatewayFlag.ts"
import { optional, peerFlag, reasonFlag, userFlag } from "../../flags.ts"
import { print } from "../../Output.ts"
import { useOperations } from "../../Services.ts"
import { table } from "../../table.ts"

const flags = {
  peer: optional(peerFlag.pipe(Flag.withDescription("Every grant to this peer"))),
  user: optional(userFlag.pipe(Flag.withDescription("Or every grant that acts for this user"))),
  reason: reasonFlag,
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Change nothing, and tell what would end")
  )
}

const holderOf = (
  peer: Option.Option<PeerName>,
  user: Option.Option<UserId>
): Effect.Effect<Holder, UsageInvalid> => {
  const invalid = (problem: string) =>
    Effect.fail(new UsageInvalid({ problem, help: "mosaic federation revoke --help" }))
  if (Option.isSome(peer)) {
    return Option.isSome(user)
      ? invalid("--peer and --user are both given")
      : Effect.succeed({ peer: peer.value })
  }
  return Option.isSome(user)
    ? Effect.succeed({ user: user.value })
    : invalid("one of --peer PEER and --user ID is needed")
}

const lines = (revocation: typeof HolderRevocationDocument.Type): ReadonlyArray<string> => {
  const { caRevocations, dryRun, grants, lastNotAfter, liveCertificates } = revocation
  const count = `${grants.length} grant${grants.length === 1 ? "" : "s"}`
  if (grants.length === 0) return ["There is no grant of this holder that has not ended."]
  return [
    dryRun ? `${count} would end. Nothing was changed:` : `${count} revoked, all at once:`,
    ...table(
      ["GRANT", "PEER", "USER", "LIVE", "UNTIL"],
      grants.map((ended) => [
        ended.grant.id,
        ended.grant.peer,
        ended.grant.subjectUserId,
        String(ended.liveCertificates),
        ended.lastNotAfter === null ? "" : utc(DateTime.toDateUtc(ended.lastNotAfter))
      ])
    ),
    "",
    aftermath(liveCertificates, lastNotAfter, "them"),
    ...atTheCa(caRevocations, "them", "a running gateway goes on trying")
  ]
}

export const revoke = Command.make(
  "revoke",
  flags,
  Effect.fn("federation revoke")(function* ({ dryRun, peer, reason, user }) {
    const holder = yield* holderOf(peer, user)
    const revocation = yield* useOperations(({ grants }) => grants.revokeHolder(holder, reason, dryRun))
    yield* print({
      document: Schema.encodeSync(HolderRevocationDocument)(revocation),
      lines: lines(revocation)
    })
  })
).pipe(
  Command.withDescription("Revoke every grant of one peer or one user, in one transaction"),
  Command.withGlobalFlags(gatewayFlags),
  Command.withExamples([
    {
      command: "mosaic federation revoke --peer gateway.example --dry-run",
      description: "What would end, and how many certificates live on"
    },
    {
      command: 'mosaic federation revoke --peer gateway.example --reason "the contract ended"',
      description: "End it"
    }
  ])
)
