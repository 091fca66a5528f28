/**
 * The serial numbers on a certificate revocation list (RFC 5280 §5). Who signed it and whether it is current is not looked
 * at: it is for readers that had it from the CA itself, over a connection that trusts nobody else.
 */
import { Result } from "effect"
import {
  childrenOf,
  type DerElement,
  type DerFault,
  expectChildren,
  readInteger,
  readWhole,
  Tag
} from "./DerReader.ts"

const isTime = ({ tag }: DerElement) => tag === Tag.utcTime || tag === Tag.generalizedTime

/** In decimal. */
export const revokedSerials = (der: Uint8Array): Result.Result<ReadonlyArray<string>, DerFault> =>
  Result.gen(function* () {
    const [list] = yield* childrenOf(yield* readWhole(der, Tag.sequence))
    // RFC 5280 §5.1: version, signature, issuer, thisUpdate and nextUpdate, then the revoked ones, where there are any.
    const fields = yield* expectChildren(list, Tag.sequence, "tbsCertList")
    const after = fields.findLastIndex(isTime) + 1
    const revoked = fields[after]
    if (revoked?.tag !== Tag.sequence) return []
    const serials: Array<string> = []
    for (const entry of yield* childrenOf(revoked)) {
      const [serial] = yield* expectChildren(entry, Tag.sequence, "revokedCertificates")
      serials.push((yield* readInteger(serial, "userCertificate")).toString())
    }
    return serials
  })
