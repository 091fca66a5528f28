/** The two forms of an ECDSA signature: OpenSSL makes the DER of X.509, JWS has R and S side by side. */
import type { Result } from "effect"
import {
  attempt,
  DerError,
  type DerElement,
  type DerFault,
  expectChildren,
  readInteger,
  readWhole,
  Tag
} from "./internal/der.ts"

const sideOf = (element: DerElement | undefined, octets: number, what: string): string => {
  const value = readInteger(element, what)
  const hex = value.toString(16)
  if (value <= 0n || hex.length > octets * 2)
    throw new DerError(element?.offset ?? 0, `${what}: not a positive number of ${octets} octets`)
  return hex.padStart(octets * 2, "0")
}

/**
 * From ECDSA-Sig-Value (RFC 3279 §2.2.3), whose integers are as short as they can be, to the concatenation of RFC 7518 §3.4,
 * where each has as many octets as the order of the curve.
 */
export const concatenated = (der: Uint8Array, octets: number): Result.Result<Uint8Array, DerFault> =>
  attempt(() => {
    const members = expectChildren(readWhole(der, Tag.sequence), Tag.sequence, "ECDSA-Sig-Value")
    if (members.length > 2) throw new DerError(0, `ECDSA-Sig-Value: ${members.length} of 2 members`)
    const [r, s] = members
    return Buffer.from(sideOf(r, octets, "r") + sideOf(s, octets, "s"), "hex")
  })
