import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { NewGrant, Scope } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { DateTime, Duration, Effect, Option } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { optional, peerFlag, required, userFlag } from "../../../flags.ts"
import { grantDocument, grantLines } from "../../../GrantView.ts"
import { print } from "../../../Output.ts"
import { Period } from "../../../Period.ts"
import { useGrants } from "../../../Services.ts"

const help = "mosaic federation grant create --help"

const standardPeriod = Duration.days(30)

/** RFC 3339 §5.6; without a zone it would mean another instant on every machine. */
const zoned = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

const flags = {
  user: required(userFlag),
  peer: required(peerFlag),
  scope: Flag.String("scope").pipe(
    Flag.withSchema(Scope),
    Flag.withMetavar("<scope>"),
    Flag.withDescription("What the peer may do; repeat it for more scopes"),
    Flag.atLeast(0)
  ),
  expiresIn: Flag.String("expires-in").pipe(
    Flag.withSchema(Period),
    Flag.withMetavar("<period>"),
    Flag.withDescription("How long it lasts: 30d (the default), 12h, 1d12h"),
    optional
  ),
  expiresAt: Flag.String("expires-at").pipe(
    Flag.filter(
      (text) => zoned.test(text) && !Number.isNaN(Date.parse(text)),
      () => "Expected a time with its zone (RFC 3339), such as 2027-01-31T12:00:00Z"
    ),
    Flag.map((text) => DateTime.makeUnsafe(text)),
    Flag.withMetavar("<time>"),
    Flag.withDescription("Or the instant of its end, as in 2027-01-31T12:00:00Z"),
    optional
  ),
  id: Flag.String("id").pipe(
    Flag.withSchema(GrantId),
    Flag.withMetavar("<grant id>"),
    Flag.withDescription("The id, where another system has chosen it; by default a random one"),
    optional
  )
}

const decideExpiry = Effect.fnUntraced(function* (
  period: Option.Option<Duration.Duration>,
  instant: Option.Option<DateTime.Utc>,
  now: DateTime.Utc
) {
  if (Option.isNone(instant))
    return DateTime.addDuration(
      now,
      Option.getOrElse(period, () => standardPeriod)
    )
  if (Option.isSome(period)) {
    return yield* new UsageInvalid({ problem: "--expires-in and --expires-at are both given", help })
  }
  const expiresAt = instant.value
  if (DateTime.isLessThanOrEqualTo(expiresAt, now)) {
    return yield* new UsageInvalid({
      problem: `--expires-at ${DateTime.formatIso(expiresAt)} lies in the past`,
      help
    })
  }
  return expiresAt
})

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
    const expiry = yield* decideExpiry(expiresIn, expiresAt, now)
    const grant = yield* useGrants((grants) =>
      grants.create(
        new NewGrant({
          ...(Option.isSome(id) ? { id: id.value } : {}),
          subjectUserId: user,
          peer,
          scopes: scope,
          expiresAt: expiry
        })
      )
    )
    yield* print({
      document: grantDocument(grant, now),
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
