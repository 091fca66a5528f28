import { GrantStatus } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { DateTime, Effect, Option } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { limitFlag, optional, peerFlag, userFlag } from "../../../flags.ts"
import { grantDocument, grantTable } from "../../../GrantView.ts"
import { print } from "../../../Output.ts"
import { useGrants } from "../../../Services.ts"

const flags = {
  peer: optional(peerFlag.pipe(Flag.withDescription("Only grants to this peer"))),
  user: optional(userFlag.pipe(Flag.withDescription("Only grants that act for this user"))),
  status: Flag.Literals("status", GrantStatus.literals).pipe(
    Flag.withDescription("Only grants that are this now"),
    optional
  ),
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
  Effect.fn("grant list")(function* ({ before, limit, peer, status, user }) {
    const now = yield* DateTime.now
    // One more than is shown tells whether there is a next page.
    const found = yield* useGrants((grants) =>
      grants.list({
        limit: limit + 1,
        ...(Option.isSome(peer) ? { peer: peer.value } : {}),
        ...(Option.isSome(user) ? { subjectUserId: user.value } : {}),
        ...(Option.isSome(status) ? { status: status.value } : {}),
        ...(Option.isSome(before) ? { before: before.value } : {})
      })
    )
    const shown = found.slice(0, limit)
    const next = found.length > limit ? (shown.at(-1)?.id ?? null) : null
    yield* print({
      document: { grants: shown.map((grant) => grantDocument(grant, now)), next },
      lines:
        shown.length === 0
          ? ["No grant matches. Create one: mosaic federation grant create --help"]
          : [
              ...grantTable(shown, now),
              ...(next === null
                ? []
                : ["", `There are more: add --before ${next}, or a higher --limit, to the same command`])
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
    }
  ])
)
