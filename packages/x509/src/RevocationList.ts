/**
 * The serial numbers on a certificate revocation list (RFC 5280 §5). Who signed it and whether it is current is not looked
 * at: it is for readers that had it from the CA itself, over a connection that trusts nobody else.
 */
import type { Result } from "effect"
import {
  attempt,
  childrenOf,
  type DerElement,
  type DerFault,
  expectChildren,
  readInteger,
  readWhole,
  Tag
} from "./internal/der.ts"

const isTime = ({ tag }: DerElement) => tag === Tag.utcTime || tag === Tag.generalizedTime

const readRevoked = (der: Uint8Array): ReadonlyArray<string> => {
  const [list] = childrenOf(readWhole(der, Tag.sequence))
  // RFC 5280 §5.1: version, signature, issuer, thisUpdate and nextUpdate, then the revoked ones, where there are any.
  const fields = expectChildren(list, Tag.sequence, "tbsCertList")
  const after = fields.findLastIndex(isTime) + 1
  const revoked = fields[after]
  if (revoked?.tag !== Tag.sequence) return []
  return childrenOf(revoked).map((entry) => {
    const [serial] = expectChildren(entry, Tag.sequence, "revokedCertificates")
    return readInteger(serial, "userCertificate").toString()
  })
}

/** In decimal. */
export const revokedSerials = (der: Uint8Array): Result.Result<ReadonlyArray<string>, DerFault> =>
  attempt(() => readRevoked(der))
