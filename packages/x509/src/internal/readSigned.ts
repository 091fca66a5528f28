/** What stands beside signed octets (RFC 5280 §4.1.1, RFC 2986 §4.2): the algorithm and the signature. */
import type { SignatureAlgorithm } from "../Certificate.ts"
import { DerError, type DerElement, expectChildren, expectTag, readBitString, readOid, Tag } from "./der.ts"

export const readAlgorithm = (element: DerElement | undefined, what: string): SignatureAlgorithm => {
  const sequence = expectTag(element, Tag.sequence, what)
  const [oid] = expectChildren(sequence, Tag.sequence, what)
  return { oid: readOid(oid, what), der: sequence.raw }
}

/** A signature is a whole number of octets in each algorithm of ours; anything else would be a second spelling of it. */
export const readSignature = (element: DerElement | undefined, what: string): Uint8Array => {
  const { bytes, unusedBits } = readBitString(element, what)
  if (unusedBits > 0) throw new DerError(element?.offset ?? 0, `${what}: unused bits`)
  return bytes
}
