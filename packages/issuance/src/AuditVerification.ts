/**
 * Proves that the audit record is what it was: walks along the chain from its start or the last checkpoint, and holds it
 * against the heads that were signed of it. The first break is located; what lies behind it is walked as well, to count.
 */
import {
  AuditChainBroken,
  type AuditSignatureInvalid,
  AuditTailMissing,
  type StorageError
} from "@mosaic-federation/domain/StorageErrors"
import { Effect } from "effect"
import { breakBetween, type ChainBreak, type ChainPoint, genesis } from "./AuditChain.ts"
import { AuditKey, type SignedPoint } from "./AuditKey.ts"
import { AuditRepo } from "./AuditRepo.ts"

export type AuditVerificationError =
  | AuditChainBroken
  | AuditTailMissing
  | AuditSignatureInvalid
  | StorageError

export interface Verified {
  /** The end of the chain. */
  readonly end: ChainPoint
  /** How many entries were walked. */
  readonly checked: number
  /** Where the walk began, where what was before is pruned. */
  readonly checkpoint: SignedPoint | null
  /** How many signed heads the chain was held against. */
  readonly heads: number
  /** Heads on record whose key is not trusted here: they prove nothing and are passed over. */
  readonly headsOfOtherKeys: number
  readonly unsealed: number
}

const differs = ({ at, hash, height }: SignedPoint, found: string): ChainBreak => ({
  height,
  recordId: null,
  problem: `a head signed at ${at} has hash ${hash}, the chain has ${found}: it was rewritten up to here`
})

/** `head` is one that was kept elsewhere, and has to be good. */
export const verifyAudit = Effect.fn("AuditVerification.verifyAudit")(function* (
  head: SignedPoint | null
): Effect.fn.Return<Verified, AuditVerificationError, AuditRepo | AuditKey> {
  const audit = yield* AuditRepo
  const key = yield* AuditKey

  const checkpoint = yield* audit.checkpoint
  if (checkpoint !== null) {
    yield* key.check("checkpoint", checkpoint, `the checkpoint at height ${checkpoint.height}`)
  }
  const start: ChainPoint = checkpoint ?? genesis
  if (head !== null) yield* key.check("head", head, "the head that was given")
  const onRecord = yield* audit.heads
  const own = onRecord.filter(key.isTrusted)
  for (const one of own) yield* key.check("head", one, `the head on record of height ${one.height}`)
  const heads = [...own, ...(head === null ? [] : [head])].filter(({ height }) => height >= start.height)
  const headsAt = Map.groupBy(heads, ({ height }) => height)

  const breaks: Array<ChainBreak> = []
  const hold = ({ hash, height }: ChainPoint) => {
    const other = headsAt.get(height)?.find((one) => one.hash !== hash)
    if (other !== undefined) breaks.push(differs(other, hash))
  }
  let end = start
  let checked = 0
  hold(start)
  for (let links = yield* audit.links(end.height); links.length > 0; links = yield* audit.links(end.height)) {
    for (const link of links) {
      const found = breakBetween(end, link)
      if (found !== undefined) breaks.push(found)
      end = { height: link.height, hash: link.hash }
      hold(end)
      checked += 1
    }
  }
  const [first] = breaks
  if (first !== undefined) {
    const { height, problem } = first
    return yield* new AuditChainBroken({ height, problem, breaks: breaks.length })
  }
  const longest = heads.toSorted((a, b) => b.height - a.height)[0]
  if (longest !== undefined && longest.height > end.height) {
    const { at: signedAt, height: signedHeight } = longest
    return yield* new AuditTailMissing({ height: end.height, signedHeight, signedAt })
  }
  const { unsealed } = yield* audit.state
  return {
    end,
    checked,
    checkpoint,
    heads: heads.length,
    headsOfOtherKeys: onRecord.length - own.length,
    unsealed
  }
})
