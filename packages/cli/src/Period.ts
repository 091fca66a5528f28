/** How long a grant lasts: a certificate's units and days besides: `30d`, `1d12h`, `90m`. */
import { parseLifetime } from "@mosaic-federation/domain/Lifetime"
import { Duration, Option, Schema, SchemaGetter } from "effect"

/** Beyond this a date is meant, or nothing at all: ten years. */
const mostDays = 3653

const parsePeriod = (text: string): Option.Option<Duration.Duration> => {
  const match = /^(?:(\d{1,5})d)?(.*)$/.exec(text)
  if (match === null) return Option.none()
  const [, days = "0", rest = ""] = match
  const period = Option.map(rest === "" ? Option.some(Duration.zero) : parseLifetime(rest), (left) =>
    Duration.sum(Duration.days(Number(days)), left)
  )
  return Option.filter(
    period,
    Duration.between({ minimum: Duration.seconds(1), maximum: Duration.days(mostDays) })
  )
}

export const Period = Schema.String.check(
  Schema.makeFilter((text) => Option.isSome(parsePeriod(text)), {
    expected: "a period of at most ten years, such as 30d, 12h or 1d12h"
  })
).pipe(
  Schema.decodeTo(Schema.Duration, {
    decode: SchemaGetter.transform((text: string) => Option.getOrThrow(parsePeriod(text))),
    encode: SchemaGetter.transform((period) => `${Math.floor(Duration.toSeconds(period))}s`)
  })
)
