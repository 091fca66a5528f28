import { CertificatePage, CertificateState } from "@mosaic-federation/domain/api/CertificateDocument"
import { Effect, Option, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { recordTable } from "../../../CertificateRecordView.ts"
import { expiringFlag, grantFlag, limitFlag, optional, peerFlag, userFlag } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

const flags = {
  grant: optional(grantFlag),
  peer: optional(peerFlag.pipe(Flag.withDescription("Only those of this peer"))),
  user: optional(userFlag.pipe(Flag.withDescription("Only those that act for this user"))),
  state: Flag.Literals("state", CertificateState.literals).pipe(
    Flag.withDescription("Only those of which this is on record"),
    optional
  ),
  expiring: expiringFlag.pipe(
    Flag.withDescription(
      "Only what ends within this time and may be alive: issued or ambiguous, not revoked at the CA, not over"
    )
  ),
  limit: limitFlag
}

export const list = Command.make(
  "list",
  flags,
  Effect.fn("cert list")(function* ({ expiring, grant, limit, peer, state, user }) {
    const page = yield* useOperations(({ certificates }) =>
      certificates.list({
        limit,
        ...(Option.isSome(grant) ? { grant: grant.value } : {}),
        ...(Option.isSome(peer) ? { peer: peer.value } : {}),
        ...(Option.isSome(user) ? { user: user.value } : {}),
        ...(Option.isSome(state) ? { state: state.value } : {}),
        ...(Option.isSome(expiring) ? { expiring: expiring.value } : {})
      })
    )
    yield* print({
      document: Schema.encodeSync(CertificatePage)(page),
      lines:
        page.certificates.length === 0
          ? ["No such certificate is on record. Issue one: mosaic federation cert issue --help"]
          : recordTable(page.certificates)
    })
  })
).pipe(
  Command.withDescription("List what is on record of certificates, those refused and withheld too"),
  Command.withExamples([
    { command: "mosaic federation cert list", description: "The newest 100" },
    {
      command: "mosaic federation cert list --grant 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --json",
      description: "Those of one grant, for a script"
    },
    {
      command: "mosaic federation cert list --peer gateway.example --expiring 1h",
      description: "Those of one peer that may be alive and end within the hour"
    },
    {
      command: "mosaic federation cert list --state ambiguous",
      description: "Those that may exist although no answer came"
    }
  ])
)
