/**
 * Gives a peer a new certificate for the one that it has. All of the grant check runs again, as for the first one; a
 * client that renews in a loop is told so instead of being served.
 */
import { PeerCertificateRevoked, RenewalTooSoon } from "@mosaic-federation/domain/PeerErrors"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { isOvertakenRenewal } from "@mosaic-federation/issuance/CertificateOrigin"
import { CurrentOrigin } from "@mosaic-federation/issuance/CurrentOrigin"
import { readCsr } from "@mosaic-federation/issuance/Csr"
import { GrantRepo, revokedSince } from "@mosaic-federation/issuance/GrantRepo"
import { Issuance, type IssuanceError } from "@mosaic-federation/issuance/Issuance"
import { RenewalRepo } from "@mosaic-federation/issuance/RenewalRepo"
import { Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import type { Identity } from "./PeerIdentity.ts"

export type RenewalError = RenewalTooSoon | PeerCertificateRevoked | IssuanceError

/** How often a renewal is looked at anew because others renewed or revoked the certificate meanwhile. */
const mostLooks = 3

/** Between two renewals, or an issuance and its renewal; a tenth of the certificate's life where that is shorter. */
const standardInterval = Duration.minutes(1)

const intervalOf = ({ record }: Identity): Duration.Duration =>
  Duration.min(
    standardInterval,
    Duration.times(Duration.abs(DateTime.distance(record.requestedAt, record.notAfter)), 0.1)
  )

export class Renewal extends Context.Service<
  Renewal,
  {
    /** For a peer that has just been identified. `csrPem` is a PKCS#10 request, of a new key or of the old one. */
    readonly renew: (identity: Identity, csrPem: string) => Effect.Effect<IssuedCert, RenewalError>
  }
>()("@mosaic-federation/gateway/Renewal") {
  /** The `Issuance` must stand on the `GrantRepo` of `CertificateOrigin`. */
  static readonly layerNoDeps = Layer.effect(
    Renewal,
    Effect.gen(function* () {
      const grants = yield* GrantRepo
      const issuance = yield* Issuance
      const renewals = yield* RenewalRepo
      const { refusing } = yield* AuditRepo

      /** A repeat with the CSR of the last renewal is not looked at here: it gets that renewal's certificate. */
      const refuseLoop = Effect.fnUntraced(function* (identity: Identity, csrSha256: string) {
        const { requestedAt, serial } = identity.record
        const interval = intervalOf(identity)
        const now = yield* DateTime.now
        const refuse = (since: DateTime.Utc, renewedBy: string | null) => {
          const retryAt = DateTime.addDuration(since, interval)
          return DateTime.isLessThan(now, retryAt)
            ? Effect.fail(new RenewalTooSoon({ serial, renewedBy, since, interval, retryAt }))
            : Effect.void
        }
        yield* refuse(requestedAt, null)
        const newest = yield* renewals.newest(serial, csrSha256)
        if (Option.isNone(newest)) return null
        yield* refuse(newest.value.requestedAt, newest.value.by)
        return newest.value.by
      })

      const refuseRevoked = Effect.fnUntraced(function* (serial: SerialNumber) {
        const [record] = yield* grants.certificates({ serial, limit: 1 })
        const revokedAt = record === undefined ? null : revokedSince(record)
        if (revokedAt !== null) return yield* new PeerCertificateRevoked({ serial, revokedAt })
      })

      return Renewal.of({
        renew: Effect.fn("Renewal.renew")(function* (
          identity: Identity,
          csrPem: string
        ): Effect.fn.Return<IssuedCert, RenewalError> {
          const grantId = identity.grant.id
          const { serial } = identity.record
          const event = { action: "certificate.renew", grantId, subject: serial } as const
          const allowed = Effect.gen(function* () {
            const csr = yield* Effect.fromResult(readCsr(csrPem))
            return yield* refuseLoop(identity, csr.sha256Hex)
          })
          const attempt = Effect.gen(function* () {
            const newest = yield* refusing(event, allowed)
            return yield* issuance
              .issueUnder({ grant: identity.grant, csrPem })
              .pipe(Effect.provideService(CurrentOrigin, { _tag: "Renewal", renewedSerial: serial, newest }))
          })
          return yield* attempt.pipe(
            Effect.catchIf(isOvertakenRenewal, (error) =>
              Effect.andThen(refusing(event, refuseRevoked(serial)), Effect.fail(error))
            ),
            Effect.retry({ times: mostLooks, while: isOvertakenRenewal })
          )
        })
      })
    })
  )
}
