import { Schema } from "effect"

/**
 * A certificate's serial number in decimal: positive, 19 to 39 digits, of 127 random bits when we chose it.
 * RFC 5280 §4.1.2.2 allows at most 20 octets; 39 digits take at most 17.
 */
export const SerialNumber = Schema.String.check(
  Schema.isPattern(/^[1-9][0-9]{18,38}$/, { expected: "a positive decimal number of 19 to 39 digits" })
).pipe(Schema.brand("SerialNumber"))

export type SerialNumber = typeof SerialNumber.Type
