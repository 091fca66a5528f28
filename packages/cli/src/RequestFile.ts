import { formatPem, looksLikePem } from "@mosaic-federation/x509/Pem"
import { Effect } from "effect"
import { readInput } from "./InputFile.ts"

/** DER of every request begins with a SEQUENCE (RFC 2986 §4.2). */
const sequence = 0x30

/** A request in DER becomes PEM; whether it is a request at all is decided by the program. */
export const readRequest = Effect.fnUntraced(function* (path: string) {
  const bytes = yield* readInput(path)
  const text = Buffer.from(bytes).toString("latin1")
  return bytes[0] === sequence && !looksLikePem(text) ? formatPem("CERTIFICATE REQUEST", bytes) : text
})
