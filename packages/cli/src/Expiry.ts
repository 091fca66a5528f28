/** When a grant ends, as commands are told it: after a period, or at an instant. */
import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { GivenInstant } from "@mosaic-federation/domain/GivenInstant"
import { DateTime, type Duration, Effect, Option } from "effect"
import * as Flag from "effect/cli/Flag"
import { optional } from "./flags.ts"
import { Period } from "./Period.ts"

export const expiresInFlag = Flag.String("expires-in").pipe(
  Flag.withSchema(Period),
  Flag.withMetavar("<period>")
)

export const expiresAtFlag = Flag.String("expires-at").pipe(
  Flag.withSchema(GivenInstant),
  Flag.withMetavar("<time>"),
  Flag.withDescription("Or the instant of its end, as in 2027-01-31T12:00:00Z"),
  optional
)

/** None where neither is given. */
export const decideExpiry = Effect.fnUntraced(function* (
  period: Option.Option<Duration.Duration>,
  instant: Option.Option<DateTime.Utc>,
  now: DateTime.Utc,
  help: string
) {
  if (Option.isNone(instant)) return Option.map(period, (length) => DateTime.addDuration(now, length))
  if (Option.isSome(period)) {
    return yield* new UsageInvalid({ problem: "--expires-in and --expires-at are both given", help })
  }
  if (DateTime.isLessThanOrEqualTo(instant.value, now)) {
    return yield* new UsageInvalid({
      problem: `--expires-at ${DateTime.formatIso(instant.value)} lies in the past`,
      help
    })
  }
  return instant
})
