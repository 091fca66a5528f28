/** Reads what step-ca puts beside and inside an answer that refuses something. */
import { Option, Schema } from "effect"
import type { PinnedResponse } from "./PinnedHttpClient.ts"

const decodeErrorBody = Schema.decodeUnknownOption(Schema.Struct({ message: Schema.String }))

export const requestIdOf = (response: PinnedResponse): string => response.headers["x-request-id"] ?? "absent"

/** The CA's own words: shown to people, so on one line and bounded. */
export const detailOf = (response: PinnedResponse): string =>
  Option.match(decodeErrorBody(response.body), {
    onNone: () => "no message",
    onSome: ({ message }) => message.replaceAll(/\s+/g, " ").slice(0, 500)
  })

/** RFC 9110 §10.2.3, as delay-seconds; the other form, a date, is not known of any CA. */
export const retryAfterOf = (response: PinnedResponse): number | null => {
  const value = response.headers["retry-after"]
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : null
}
