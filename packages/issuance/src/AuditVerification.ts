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
import { Effect, Result } from "effect"
import { breakBetween, type ChainBreak, type ChainLink, type ChainPoint, genesis } from "./AuditChain.ts"
import { AuditKey, type AuditTrust, type SignedPoint } from "./AuditKey.ts"
import { AuditRepo } from "./AuditRepo.ts"

export type AuditVerificationError = AuditChainBroken | AuditTailMissing | AuditSignatureInvalid

/** Where a chain is read, whatever it proves. */
export interface ChainSource<E> {
  readonly checkpoint: Effect.Effect<SignedPoint | null, E>
  /** Signed heads on record. */
  readonly heads: Effect.Effect<ReadonlyArray<SignedPoint>, E>
  /** The chain above a height, page by page; nothing is its end. */
  readonly links: (after: number) => Effect.Effect<ReadonlyArray<ChainLink>, E>
}

export interface HeldAgainst {
  /** A head that was kept elsewhere, and has to be good. */
  readonly kept: SignedPoint | null
  /** What the source itself has signed as the end of its chain. */
  readonly own?: SignedPoint
}

export interface VerifiedChain {
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
}

export interface Verified extends VerifiedChain {
  readonly unsealed: number
}

const differs = ({ at, hash, height }: SignedPoint, found: string): ChainBreak => ({
  height,
  recordId: null,
  problem: `a head signed at ${at} has hash ${hash}, the chain has ${found}: it was rewritten up to here`
})

const verifyFrom = Effect.fnUntraced(function* <E>(
  checkpoint: SignedPoint | null,
  source: ChainSource<E>,
  trust: AuditTrust,
  { kept, own: ownHead }: HeldAgainst
): Effect.fn.Return<VerifiedChain, AuditVerificationError | E> {
  if (checkpoint !== null) {
    yield* trust.check("checkpoint", checkpoint, `the checkpoint at height ${checkpoint.height}`)
  }
  const start: ChainPoint = checkpoint ?? genesis
  if (kept !== null) yield* trust.check("head", kept, "the head that was given")
  if (ownHead !== undefined) yield* trust.check("head", ownHead, "the head that the gateway signs")
  const onRecord = yield* source.heads
  const trusted = onRecord.filter(trust.isTrusted)
  for (const one of trusted) yield* trust.check("head", one, `the head on record of height ${one.height}`)
  const heads = [...trusted, ...(kept === null ? [] : [kept])].filter(({ height }) => height >= start.height)
  const held = ownHead === undefined ? heads : [...heads, ownHead]
  const headsAt = Map.groupBy(held, ({ height }) => height)

  const breaks: Array<ChainBreak> = []
  const hold = ({ hash, height }: ChainPoint) => {
    const other = headsAt.get(height)?.find((one) => one.hash !== hash)
    if (other !== undefined) breaks.push(differs(other, hash))
  }
  let end = start
  let checked = 0
  hold(start)
  for (
    let links = yield* source.links(end.height);
    links.length > 0;
    links = yield* source.links(end.height)
  ) {
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
  const longest = held.toSorted((a, b) => b.height - a.height)[0]
  if (longest !== undefined && longest.height > end.height) {
    const { at: signedAt, height: signedHeight } = longest
    return yield* new AuditTailMissing({ height: end.height, signedHeight, signedAt })
  }
  return {
    end,
    checked,
    checkpoint,
    heads: heads.length,
    headsOfOtherKeys: onRecord.length - trusted.length
  }
})

/** Wherever the chain is: nothing that its source says is believed unless it is signed or fits the hashes. */
export const verifyChain = Effect.fn("AuditVerification.verifyChain")(function* <E>(
  source: ChainSource<E>,
  trust: AuditTrust,
  held: HeldAgainst
): Effect.fn.Return<VerifiedChain, AuditVerificationError | E> {
  const checkpoint = yield* source.checkpoint
  const found = yield* Effect.result(verifyFrom(checkpoint, source, trust, held))
  if (Result.isSuccess(found)) return found.success
  // What is missing may have been pruned in the meantime: then it is behind a new checkpoint, which has to be good too.
  if (found.failure instanceof AuditChainBroken) {
    const moved = yield* source.checkpoint
    if ((moved?.height ?? 0) > (checkpoint?.height ?? 0)) return yield* verifyChain(source, trust, held)
  }
  return yield* Effect.fail(found.failure)
})

/** Where the database is. `kept` is a head that was kept elsewhere, and has to be good. */
export const verifyAudit = Effect.fn("AuditVerification.verifyAudit")(function* (
  kept: SignedPoint | null
): Effect.fn.Return<Verified, AuditVerificationError | StorageError, AuditRepo | AuditKey> {
  const audit = yield* AuditRepo
  const verified = yield* verifyChain(audit, yield* AuditKey, { kept })
  const { unsealed } = yield* audit.state
  return { ...verified, unsealed }
})
