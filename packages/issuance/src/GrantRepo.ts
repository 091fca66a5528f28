/**
 * The records that issuance stands on: grants, and for each certificate the intent written before the CA is asked and
 * the outcome written after. It decides nothing about whether a grant may issue; it only tells and keeps the truth.
 * Any service may provide its own implementation and reuse the rest of the program.
 */
import type { Grant, GrantStatus, NewGrant } from "@mosaic-federation/domain/Grant"
import type { GrantAlreadyExists, GrantNotFound } from "@mosaic-federation/domain/GrantErrors"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import type { UserId } from "@mosaic-federation/domain/UserId"
import { Context, type DateTime, type Effect } from "effect"

export interface IssuanceIntent {
  readonly serial: SerialNumber
  readonly grantId: GrantId
  readonly subjectUserId: UserId
  /** Lower-case hex SHA-256 of the CSR's DER. */
  readonly csrSha256: string
  readonly requestedAt: DateTime.Utc
  /** What the CA is asked for: no certificate of this intent lives longer. */
  readonly notAfter: DateTime.Utc
}

/** `GrantEnded`: the grant was no longer active when the certificate was to be recorded; it was recorded as withheld. */
export type RecordIssuedResult =
  | { readonly _tag: "Recorded" }
  | { readonly _tag: "GrantEnded"; readonly status: Exclude<GrantStatus, "active"> }

/** The end of an intent that brought no certificate to anybody. */
export interface IssuanceOutcome {
  readonly serial: SerialNumber
  /** `refused`: nothing was signed. `withheld`: signed, not handed out. `ambiguous`: it may have been signed. */
  readonly state: "refused" | "withheld" | "ambiguous"
  readonly errorCode: string
  readonly revokedAtCa: boolean
}

export interface CertificateRecord {
  readonly serial: SerialNumber
  readonly grantId: GrantId
  readonly subjectUserId: UserId
  readonly state: "intent" | "issued" | IssuanceOutcome["state"]
  readonly csrSha256: string
  readonly requestedAt: DateTime.Utc
  readonly notBefore: DateTime.Utc | null
  readonly notAfter: DateTime.Utc
  /** Lower-case hex SHA-256 of the certificate's DER; null unless issued. */
  readonly fingerprintSha256: string | null
  /** Leaf and chain in PEM; null unless issued. */
  readonly fullChainPem: string | null
  readonly errorCode: string | null
  readonly revokedAtCa: DateTime.Utc | null
}

export interface GrantFilter {
  readonly peer?: string
  readonly subjectUserId?: UserId
  readonly status?: GrantStatus
  /** At most this many, newest first; 100 by default. */
  readonly limit?: number
  /** Keyset page: only grants created before this one. */
  readonly before?: GrantId
}

/** What a revocation really did: certificates that live on until their own end unless their verifier asks us. */
export interface RevocationEffect {
  readonly grant: Grant
  readonly alreadyRevoked: boolean
  readonly liveCertificates: number
  readonly lastNotAfter: DateTime.Utc | null
}

export class GrantRepo extends Context.Service<
  GrantRepo,
  {
    readonly find: (id: GrantId) => Effect.Effect<Grant, GrantNotFound | StorageError>
    readonly create: (grant: NewGrant) => Effect.Effect<Grant, GrantAlreadyExists | StorageError>
    readonly list: (filter: GrantFilter) => Effect.Effect<ReadonlyArray<Grant>, StorageError>
    readonly revoke: (
      id: GrantId,
      reason: string
    ) => Effect.Effect<RevocationEffect, GrantNotFound | StorageError>
    /** Committed before it returns; a serial that was used before is refused with `StorageFailed`. */
    readonly recordIntent: (intent: IssuanceIntent) => Effect.Effect<void, StorageError>
    /** Reads the grant's row under a lock, and records the certificate in the same transaction. */
    readonly recordIssued: (
      issued: IssuedCert,
      fingerprintSha256: string
    ) => Effect.Effect<RecordIssuedResult, StorageError>
    readonly recordOutcome: (outcome: IssuanceOutcome) => Effect.Effect<void, StorageError>
    readonly certificates: (filter: {
      readonly grantId?: GrantId
      readonly serial?: SerialNumber
      readonly limit?: number
    }) => Effect.Effect<ReadonlyArray<CertificateRecord>, StorageError>
  }
>()("@mosaic-federation/issuance/GrantRepo") {}
