/**
 * Who a peer is, by the certificate whose key it proved to hold: checked against the ledger, the pinned roots, the clock
 * and the grant at this very moment, not at the handshake. It proves no possession: that is TLS, or `RenewalProof`.
 */
import type { Grant } from "@mosaic-federation/domain/Grant"
import {
  type GrantExpired,
  GrantNotFound,
  type GrantRevoked,
  type GrantSuspended
} from "@mosaic-federation/domain/GrantErrors"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import {
  PeerCertificateExpired,
  PeerCertificateNotGrant,
  PeerCertificateNotYetValid,
  PeerCertificateRevoked,
  PeerCertificateUnknown,
  PeerCertificateUntrusted
} from "@mosaic-federation/domain/PeerErrors"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { checkStatus } from "@mosaic-federation/issuance/GrantPolicy"
import { type CertificateRecord, GrantRepo, revokedSince } from "@mosaic-federation/issuance/GrantRepo"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { type Certificate, parseCertificate, parseCertificates } from "@mosaic-federation/x509/Certificate"
import { checkPath } from "@mosaic-federation/x509/CertificationPath"
import { fromExtensions } from "@mosaic-federation/x509/GrantExtension"
import type { GrantOids } from "@mosaic-federation/x509/Oid"
import { Context, DateTime, Effect, Layer, Result, Schema } from "effect"

export interface Identity {
  readonly grant: Grant
  readonly certificate: Certificate
  readonly record: CertificateRecord
}

export type IdentityError =
  | PeerCertificateNotGrant
  | PeerCertificateUnknown
  | PeerCertificateUntrusted
  | PeerCertificateExpired
  | PeerCertificateNotYetValid
  | PeerCertificateRevoked
  | GrantRevoked
  | GrantSuspended
  | GrantExpired
  | StorageError

const isSerial = Schema.is(SerialNumber)

interface Stated {
  readonly certificate: Certificate
  readonly serial: SerialNumber
  readonly grantId: GrantId
}

/** What the certificate says of itself. */
const read = (shown: Uint8Array, oids: GrantOids): Result.Result<Stated, PeerCertificateNotGrant> => {
  const not = (problem: string) => Result.fail(new PeerCertificateNotGrant({ problem }))
  const certificate = parseCertificate(shown)
  if (Result.isFailure(certificate)) return not(certificate.failure.message)
  const { extensions, serial } = certificate.success
  const ids = fromExtensions(extensions, oids)
  if (Result.isFailure(ids)) return not(ids.failure.message)
  return isSerial(serial)
    ? Result.succeed({
        certificate: certificate.success,
        serial,
        grantId: GrantId.make(ids.success.grantId)
      })
    : not(`the serial number ${serial} is none that this gateway chooses`)
}

/** Of a certificate on record: the chain was recorded with it and is followed anew, to the roots of today. */
export const judge = (
  certificate: Certificate,
  record: CertificateRecord,
  roots: ReadonlyArray<Certificate>,
  now: DateTime.Utc
): Result.Result<void, Exclude<IdentityError, StorageError>> => {
  const { serial } = record
  const notAfter = DateTime.fromDateUnsafe(certificate.notAfter)
  const notBefore = DateTime.fromDateUnsafe(certificate.notBefore)
  if (DateTime.isLessThan(now, notBefore)) {
    return Result.fail(new PeerCertificateNotYetValid({ serial, notBefore }))
  }
  // RFC 5280 §4.1.2.5: valid through notAfter, inclusive.
  if (DateTime.isGreaterThan(now, notAfter))
    return Result.fail(new PeerCertificateExpired({ serial, notAfter }))
  const revokedAt = revokedSince(record)
  if (revokedAt !== null) return Result.fail(new PeerCertificateRevoked({ serial, revokedAt }))
  const path = Result.flatMap(
    Result.mapError(parseCertificates(record.fullChainPem ?? ""), ({ message }) => ({
      expected: "the chain on record",
      found: message
    })),
    ([, ...chain]) => checkPath(certificate, chain, roots, DateTime.toDateUtc(now))
  )
  return Result.isSuccess(path)
    ? Result.succeed(undefined)
    : Result.fail(new PeerCertificateUntrusted({ serial, ...path.failure }))
}

export class PeerIdentity extends Context.Service<
  PeerIdentity,
  {
    /** DER of the certificate whose key the peer has proved to hold. */
    readonly identify: (shown: Uint8Array) => Effect.Effect<Identity, IdentityError>
  }
>()("@mosaic-federation/gateway/PeerIdentity") {
  static readonly layerNoDeps = Layer.effect(
    PeerIdentity,
    Effect.gen(function* () {
      const { oids, roots } = yield* IssuanceConfig
      const grants = yield* GrantRepo

      return PeerIdentity.of({
        identify: Effect.fn("PeerIdentity.identify")(function* (
          shown: Uint8Array
        ): Effect.fn.Return<Identity, IdentityError> {
          const { certificate, grantId, serial } = yield* Effect.fromResult(read(shown, oids))
          const [[record], grant] = yield* Effect.all(
            [grants.certificates({ serial, limit: 1 }), Effect.result(grants.find(grantId))],
            { concurrency: "unbounded" }
          )
          // The fingerprint is on record of certificates alone that were handed out.
          if (record?.fingerprintSha256 !== certificate.fingerprintSha256 || record.grantId !== grantId) {
            return yield* new PeerCertificateUnknown({ serial })
          }
          const now = yield* DateTime.now
          // Its certificates are revoked with a grant, sooner or later; that the grant is over says more.
          if (Result.isSuccess(grant) && grant.success.storedStatus === "revoked") {
            yield* Effect.fromResult(checkStatus(grant.success, now))
          }
          yield* Effect.fromResult(judge(certificate, record, roots, now))
          if (Result.isFailure(grant)) {
            return yield* grant.failure instanceof GrantNotFound
              ? new PeerCertificateUnknown({ serial })
              : grant.failure
          }
          yield* Effect.fromResult(checkStatus(grant.success, now))
          return { grant: grant.success, certificate, record }
        })
      })
    })
  )
}
