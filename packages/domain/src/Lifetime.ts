/** How long a certificate is asked to live, written as Go and step-ca write durations: `24h`, `90m`, `1h30m`, `45s`. */
import { Duration, Option, Schema, SchemaGetter } from "effect"

const units = { h: 3_600_000, m: 60_000, s: 1000 } as const

/** Whole seconds only: a certificate's times have no smaller unit (RFC 5280 §4.1.2.5). */
export const parseLifetime = (text: string): Option.Option<Duration.Duration> => {
  const match = /^(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?$/.exec(text)
  if (match === null || text === "") return Option.none()
  const [, hours = "0", minutes = "0", seconds = "0"] = match
  const millis = Number(hours) * units.h + Number(minutes) * units.m + Number(seconds) * units.s
  return millis > 0 ? Option.some(Duration.millis(millis)) : Option.none()
}

/** The shortest spelling that `parseLifetime` and step-ca read back: `24h`, `1h30m`, `45s`. */
export const formatLifetime = (lifetime: Duration.Duration): string => {
  const total = Math.floor(Duration.toSeconds(lifetime))
  const parts = [
    [Math.floor(total / 3600), "h"],
    [Math.floor(total / 60) % 60, "m"],
    [total % 60, "s"]
  ] as const
  return (
    parts
      .filter(([count]) => count > 0)
      .map(([count, unit]) => `${count}${unit}`)
      .join("") || "0s"
  )
}

export const Lifetime = Schema.String.check(
  Schema.makeFilter((text) => Option.isSome(parseLifetime(text)), {
    expected: "a duration such as 24h, 90m or 1h30m"
  })
).pipe(
  Schema.decodeTo(Schema.Duration, {
    decode: SchemaGetter.transform((text: string) => Option.getOrThrow(parseLifetime(text))),
    encode: SchemaGetter.transform(formatLifetime)
  })
)
