/**
 * What operators do with the audit record: where the database is, or over the API of a gateway. There, the chain is
 * downloaded and proved by the one who asks: the gateway's own word counts for nothing.
 */
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import type { AuditEntry } from "@mosaic-federation/issuance/AuditChain"
import type { SignedPoint } from "@mosaic-federation/issuance/AuditKey"
import type { VerifiedChain } from "@mosaic-federation/issuance/AuditVerification"
import { Context, type Effect, Layer } from "effect"
import { makeAuditHere } from "./auditHere.ts"
import { makeAuditOverApi } from "./auditOverApi.ts"

export interface AuditTailQuery {
  readonly grant?: GrantId
  readonly limit: number
}

export interface AuditTail {
  /** The newest last. */
  readonly entries: ReadonlyArray<AuditEntry>
  /** Recorded and not yet in the chain. */
  readonly unsealed: number
}

export interface AuditProof extends Omit<VerifiedChain, "end"> {
  /** The end of the chain, signed. */
  readonly head: SignedPoint
  readonly unsealed: number
}

export class AuditOperations extends Context.Service<
  AuditOperations,
  {
    readonly tail: (query: AuditTailQuery) => Effect.Effect<AuditTail, MosaicError>
    /** The next page of entries above a height, the oldest first; nothing is the end. */
    readonly entries: (after: number) => Effect.Effect<ReadonlyArray<AuditEntry>, MosaicError>
    /** `kept` is a head that was kept elsewhere, and has to be good. */
    readonly verify: (kept: SignedPoint | null) => Effect.Effect<AuditProof, MosaicError>
  }
>()("@mosaic-federation/gateway/AuditOperations") {
  /** `seals` in the local tier, where there may be no server to do it. */
  static readonly layerHere = (seals: boolean) => Layer.effect(AuditOperations, makeAuditHere(seals))

  /** Needs a `GatewayClient`. */
  static readonly layerOverApi = Layer.effect(AuditOperations, makeAuditOverApi)
}
