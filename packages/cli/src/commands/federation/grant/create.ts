import { GrantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { NewGrant, Scope } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { DateTime, Duration, Effect, Option, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { optional, peerFlag, required, userFlag } from "../../../flags.ts"
import { decideExpiry, expiresAtFlag, expiresInFlag } from "../../../Expiry.ts"
import { grantLines } from "../../../GrantView.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

const help = "mosaic federation grant create --help"

const standardPeriod = Duration.days(30)

const flags = {
  user: required(userFlag),
  peer: required(peerFlag),
  scope: Flag.String("scope").pipe(
    Flag.withSchema(Scope),
    Flag.withMetavar("<scope>"),
    Flag.withDescription("What the peer may do; repeat it for more scopes"),
    Flag.atLeast(0)
  ),
  expiresIn: expiresInFlag.pipe(
    Flag.withDescription("How long it lasts: 30d (the default), 12h, 1d12h"),
    optional
  ),
  expiresAt: expiresAtFlag,
  id: Flag.String("id").pipe(
    Flag.withSchema(GrantId),
    Flag.withMetavar("<grant id>"),
    Flag.withDescription("The id, where another system has chosen it; by default a random one"),
    optional
  )
}

export const create = Command.make(
  "create",
  flags,
  Effect.fn("grant create")(function* ({ expiresAt, expiresIn, id, peer, scope, user }) {
    const now = yield* DateTime.now
    const repeated = scope.find((one, index) => scope.indexOf(one) !== index)
    if (repeated !== undefined)
      return yield* new UsageInvalid({ problem: `--scope ${repeated} is given twice`, help })
    if (scope.length > 64)
      return yield* new UsageInvalid({
        problem: `--scope is given ${scope.length} times, at most 64 are kept`,
        help
      })
    const expiry = yield* decideExpiry(expiresIn, expiresAt, now, help)
    const grant = yield* useOperations(({ grants }) =>
      grants.create(
        new NewGrant({
          ...(Option.isSome(id) ? { id: id.value } : {}),
          subjectUserId: user,
          peer,
          scopes: scope,
          expiresAt: Option.getOrElse(expiry, () => DateTime.addDuration(now, standardPeriod))
        })
      )
    )
    yield* print({
      document: Schema.encodeSync(GrantDocument)(grant),
      lines: [
        ...grantLines(grant, now),
        "",
        `Next: mosaic federation cert issue --grant ${grant.id} --csr request.csr --cert-out peer.crt`
      ]
    })
  })
).pipe(
  Command.withDescription("Create a grant: let one peer act for one local user, until it ends"),
  Command.withExamples([
    {
      command:
        "mosaic federation grant create --user 7b1c2d3e-4f50-4a61-8b72-93a4b5c6d7e8 --peer gateway.example --scope orders:read",
      description: "A grant of one scope for 30 days"
    },
    {
      command:
        "mosaic federation grant create --user 7b1c2d3e-4f50-4a61-8b72-93a4b5c6d7e8 --peer gateway.example --expires-in 12h --json",
      description: "A grant for half a day, its id for a script"
    }
  ])
)
