/**
 * What operators do with grants, alike wherever they do it: where the database is, or over the API of a gateway. What
 * comes back are the documents of the contract.
 */
import type { GrantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import type {
  ExplanationDocument,
  GrantPage,
  GrantWithCertificates,
  HolderRevocationDocument,
  RevocationDocument
} from "@mosaic-federation/domain/api/GrantDocuments"
import type { GrantStatus, NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import type { UserId } from "@mosaic-federation/domain/UserId"
import { readLifetimes } from "@mosaic-federation/issuance/IssuanceConfig"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { Context, type DateTime, type Duration, Effect, Layer } from "effect"
import { NodeFileSystem } from "@effect/platform-node"
import { GatewayClient } from "../client/GatewayClient.ts"
import { makeGrantsHere } from "./grantsHere.ts"

export interface GrantQuery {
  readonly peer?: PeerName
  readonly user?: UserId
  readonly status?: GrantStatus
  /** Only grants that end within this time. */
  readonly expiring?: Duration.Duration
  /** 100 by default. */
  readonly limit?: number
  /** The next page: only grants created before this one. */
  readonly before?: GrantId
}

/** Whose grants end together. */
export type Holder = { readonly peer: PeerName } | { readonly user: UserId }

export class GrantOperations extends Context.Service<
  GrantOperations,
  {
    readonly create: (grant: NewGrant) => Effect.Effect<GrantDocument, MosaicError>
    /** The newest first. */
    readonly list: (query: GrantQuery) => Effect.Effect<typeof GrantPage.Type, MosaicError>
    /** With its newest twenty certificates. */
    readonly show: (id: GrantId) => Effect.Effect<typeof GrantWithCertificates.Type, MosaicError>
    readonly changeExpiry: (id: GrantId, expiresAt: DateTime.Utc) => Effect.Effect<GrantDocument, MosaicError>
    readonly suspend: (id: GrantId) => Effect.Effect<GrantDocument, MosaicError>
    readonly resume: (id: GrantId) => Effect.Effect<GrantDocument, MosaicError>
    readonly revoke: (
      id: GrantId,
      reason: string
    ) => Effect.Effect<typeof RevocationDocument.Type, MosaicError>
    readonly explain: (id: GrantId) => Effect.Effect<typeof ExplanationDocument.Type, MosaicError>
    /** `dryRun` tells what it would do. */
    readonly revokeHolder: (
      holder: Holder,
      reason: string,
      dryRun: boolean
    ) => Effect.Effect<typeof HolderRevocationDocument.Type, MosaicError>
  }
>()("@mosaic-federation/gateway/GrantOperations") {
  /** For whoever owns the database, and so may do everything. */
  static readonly layerHere = Layer.effect(
    GrantOperations,
    Effect.gen(function* () {
      const { settleAbandoned } = yield* TaskRepo
      const here = yield* makeGrantsHere(Effect.provide(readLifetimes, NodeFileSystem.layer))
      return GrantOperations.of({
        ...here,
        // Its certificates are told as CertificateOperations tells them.
        show: (id) => Effect.andThen(settleAbandoned, here.show(id)),
        changeExpiry: (id, expiresAt) => here.changeExpiry(id, expiresAt, "admin")
      })
    })
  )

  /** Who may do what is the gateway's decision. */
  static readonly layerOverApi = Layer.effect(
    GrantOperations,
    GatewayClient.use(({ ask }) =>
      Effect.succeed(
        GrantOperations.of({
          create: (payload) => ask((api) => api.grants.create({ payload })),
          list: (query) => ask((api) => api.grants.list({ query: { ...query } })),
          show: (id) => ask((api) => api.grants.get({ params: { id } })),
          changeExpiry: (id, expiresAt) =>
            ask((api) => api.grants.changeExpiry({ params: { id }, payload: { expiresAt } })),
          suspend: (id) => ask((api) => api.grants.suspend({ params: { id } })),
          resume: (id) => ask((api) => api.grants.resume({ params: { id } })),
          revoke: (id, reason) => ask((api) => api.grants.revoke({ params: { id }, payload: { reason } })),
          explain: (id) => ask((api) => api.grants.explain({ params: { id } })),
          revokeHolder: (holder, reason, dryRun) =>
            ask((api) => api.grants.revokeHolder({ payload: { ...holder, reason, dryRun } }))
        })
      )
    )
  )
}
