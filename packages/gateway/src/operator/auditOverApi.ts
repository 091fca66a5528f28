/**
 * What operators do with the audit record, over the API of a gateway. The keys that are believed are, as everywhere, those
 * that `MOSAIC_AUDIT_TRUST` names, and with none the one that signs: here the gateway's of this moment.
 */
import { NodeFileSystem } from "@effect/platform-node"
import type { AuditEntry } from "@mosaic-federation/issuance/AuditChain"
import { keyIdOf, readTrusted, type SignedPoint, trustIn } from "@mosaic-federation/issuance/AuditKey"
import { verifyChain } from "@mosaic-federation/issuance/AuditVerification"
import { Effect } from "effect"
import { GatewayClient } from "../client/GatewayClient.ts"
import type { AuditTailQuery } from "./AuditOperations.ts"

/** With room below the megabyte that an answer may have, whatever reasons people give. */
const page = 250

export const makeAuditOverApi = Effect.gen(function* () {
  const { ask } = yield* GatewayClient

  /** The chain up to a height, page by page; what is not in order is left out, and shows as a gap. */
  const linksUpTo = (end: number) =>
    Effect.fnUntraced(function* (after: number) {
      const limit = Math.min(page, end - after)
      if (limit < 1) return []
      const { links } = yield* ask((api) => api.audit.chain({ query: { after, limit } }))
      let last = after
      return links.filter(({ height }) => {
        const isNext = height > last && height <= end
        if (isNext) last = height
        return isNext
      })
    })

  return {
    tail: Effect.fn("AuditOperations.tail")(function* ({ grant, limit }: AuditTailQuery) {
      const found: Array<AuditEntry> = []
      const more = Effect.fnUntraced(function* (wanted: number) {
        const last = found.at(-1)
        const query = {
          order: "newest" as const,
          limit: wanted,
          ...(grant === undefined ? {} : { grant }),
          ...(last === undefined ? {} : { before: last.height })
        }
        const { entries } = yield* ask((api) => api.audit.list({ query }))
        found.push(...entries)
        return entries.length === wanted
      })
      while (found.length < limit && (yield* more(Math.min(page, limit - found.length)))) {
        yield* Effect.yieldNow
      }
      const { unsealed } = yield* ask((api) => api.audit.head())
      return { entries: found.toReversed(), unsealed }
    }),

    entries: Effect.fn("AuditOperations.entries")(function* (after: number) {
      return (yield* ask((api) => api.audit.list({ query: { after, limit: page } }))).entries
    }),

    verify: Effect.fn("AuditOperations.verify")(function* (kept: SignedPoint | null) {
      const named = yield* readTrusted
      const signed = ask((api) => api.audit.heads())
      const { unsealed, ...head } = yield* ask((api) => api.audit.head())
      const trust = trustIn(named.length === 0 ? [keyIdOf(head.publicKey)] : named)
      const source = {
        checkpoint: Effect.map(signed, ({ checkpoint }) => checkpoint),
        heads: Effect.map(signed, ({ heads }) => heads),
        links: linksUpTo(head.height)
      }
      const { end: _, ...verified } = yield* verifyChain(source, trust, { kept, own: head })
      return { ...verified, head, unsealed }
    }, Effect.provide(NodeFileSystem.layer))
  }
})
