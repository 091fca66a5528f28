/** A timestamptz that may be NULL, as rows have it. */
import { Schema } from "effect"

/** NULL stands first: members are tried in their order, and to find that it is no date takes longer than the rest of a row. */
export const NullableDate = Schema.Union([Schema.Null, Schema.DateTimeUtcFromDate])
