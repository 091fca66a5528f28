import { GrantPage } from "@mosaic-federation/domain/api/GrantDocuments"
import { GrantStatus } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { Effect, Option, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { expiringFlag, limitFlag, optional, peerFlag, userFlag } from "../../../flags.ts"
import { grantTable } from "../../../GrantView.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

const flags = {
  peer: optional(peerFlag.pipe(Flag.withDescription("Only grants to this peer"))),
  user: optional(userFlag.pipe(Flag.withDescription("Only grants that act for this user"))),
  status: Flag.Literals("status", GrantStatus.literals).pipe(
    Flag.withDescription("Only grants that are this now"),
    optional
  ),
  expiring: expiringFlag,
  limit: limitFlag,
  before: Flag.String("before").pipe(
    Flag.withSchema(GrantId),
    Flag.withMetavar("<grant id>"),
    Flag.withDescription("The next page: only grants created before this one"),
    optional
  )
}

export const list = Command.make(
  "list",
  flags,
  Effect.fn("grant list")(function* ({ before, expiring, limit, peer, status, user }) {
    const page = yield* useOperations(({ grants }) =>
      grants.list({
        limit,
        ...(Option.isSome(peer) ? { peer: peer.value } : {}),
        ...(Option.isSome(user) ? { user: user.value } : {}),
        ...(Option.isSome(status) ? { status: status.value } : {}),
        ...(Option.isSome(expiring) ? { expiring: expiring.value } : {}),
        ...(Option.isSome(before) ? { before: before.value } : {})
      })
    )
    yield* print({
      document: Schema.encodeSync(GrantPage)(page),
      lines:
        page.grants.length === 0
          ? ["No grant matches. Create one: mosaic federation grant create --help"]
          : [
              ...grantTable(page.grants),
              ...(page.next === null
                ? []
                : ["", `There are more: add --before ${page.next}, or a higher --limit, to the same command`])
            ]
    })
  })
).pipe(
  Command.withDescription("List grants, the newest first"),
  Command.withExamples([
    { command: "mosaic federation grant list", description: "The newest 100 grants" },
    {
      command: "mosaic federation grant list --peer gateway.example --status active --json",
      description: "What one peer may do now, for a script"
    },
    {
      command: "mosaic federation grant list --expiring 7d",
      description: "What ends within a week"
    }
  ])
)
