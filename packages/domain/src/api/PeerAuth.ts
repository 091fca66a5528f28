/**
 * How a peer says who it is: the grant certificate of the TLS handshake, checked against pinned roots, clock, ledger and
 * grant at each request. Other services can put it before endpoints of their own.
 */
import { Context, type DateTime } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import type { Grant } from "../Grant.ts"
import { GrantExpired, GrantRevoked, GrantSuspended } from "../GrantErrors.ts"
import {
  PeerCertificateExpired,
  PeerCertificateMissing,
  PeerCertificateNotGrant,
  PeerCertificateNotYetValid,
  PeerCertificateRevoked,
  PeerCertificateUnknown,
  PeerCertificateUntrusted
} from "../PeerErrors.ts"
import type { SerialNumber } from "../SerialNumber.ts"
import { StorageError } from "../StorageErrors.ts"
import { problems } from "./Problem.ts"

export interface Peer {
  readonly grant: Grant
  readonly certificate: {
    readonly serial: SerialNumber
    /** Lower-case hex SHA-256 of the DER. */
    readonly fingerprintSha256: string
    readonly notBefore: DateTime.Utc
    readonly notAfter: DateTime.Utc
  }
}

export class CurrentPeer extends Context.Service<CurrentPeer, Peer>()(
  "@mosaic-federation/domain/api/CurrentPeer"
) {}

/** Why a certificate is not taken, each with a code of its own. */
export const peerRefusals = [
  PeerCertificateMissing,
  PeerCertificateNotGrant,
  PeerCertificateUnknown,
  PeerCertificateUntrusted,
  PeerCertificateExpired,
  PeerCertificateNotYetValid,
  PeerCertificateRevoked,
  GrantRevoked,
  GrantSuspended,
  GrantExpired,
  ...StorageError.members
] as const

export class PeerAuth extends HttpApiMiddleware.Service<PeerAuth, { provides: CurrentPeer }>()(
  "@mosaic-federation/domain/api/PeerAuth",
  { error: problems(peerRefusals) }
) {}
