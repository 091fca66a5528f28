/** An instant as somebody outside writes it: RFC 3339 §5.6, with its zone, such as `2027-01-31T12:00:00Z`. */
import { DateTime, Option, Schema, SchemaGetter } from "effect"

const form = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i

const parseInstant = (text: string): Option.Option<DateTime.Utc> => {
  const written = form.exec(text)?.[1]?.toUpperCase()
  const instant = written === undefined ? Option.none() : DateTime.make(text.toUpperCase())
  // JavaScript takes 31 February for 3 March and 24:00 for the next day, and a zone may lead out of the four-digit years.
  return Option.filter(
    Option.map(instant, DateTime.toUtc),
    (utc) =>
      Option.exists(DateTime.make(`${written}Z`), (same) =>
        DateTime.formatIso(same).startsWith(`${written}.`)
      ) && /^\d{4}-/.test(DateTime.formatIso(utc))
  )
}

export const GivenInstant = Schema.String.check(
  Schema.makeFilter((text) => Option.isSome(parseInstant(text)), {
    expected: "a time with its zone (RFC 3339) that the calendar has, such as 2027-01-31T12:00:00Z",
    toJsonSchema: () => ({ format: "date-time" })
  })
).pipe(
  Schema.decodeTo(Schema.DateTimeUtc, {
    decode: SchemaGetter.transform((text: string) => Option.getOrThrow(parseInstant(text))),
    encode: SchemaGetter.transform(DateTime.formatIso)
  })
)
