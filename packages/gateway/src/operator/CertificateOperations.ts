/** What operators do with the ledger of certificates: where the database is, or over the API of a gateway. */
import type { CertificateState } from "@mosaic-federation/domain/api/CertificateDocument"
import type {
  CertificatePage,
  CertificateRevocationDocument,
  CertificateWithChain
} from "@mosaic-federation/domain/api/CertificateDocument"
import type { PeerName } from "@mosaic-federation/domain/Grant"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { UserId } from "@mosaic-federation/domain/UserId"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { Context, type Duration, Effect, Layer } from "effect"
import { GatewayClient } from "../client/GatewayClient.ts"
import { makeCertificatesHere } from "./certificatesHere.ts"

export interface CertificateQuery {
  readonly grant?: GrantId
  readonly peer?: PeerName
  readonly user?: UserId
  readonly state?: typeof CertificateState.Type
  /** Only those that may be alive, ambiguous ones too, and end within this time. */
  readonly expiring?: Duration.Duration
  /** 100 by default. */
  readonly limit?: number
}

export class CertificateOperations extends Context.Service<
  CertificateOperations,
  {
    /** The newest first. */
    readonly list: (query: CertificateQuery) => Effect.Effect<typeof CertificatePage.Type, MosaicError>
    readonly show: (serial: SerialNumber) => Effect.Effect<typeof CertificateWithChain.Type, MosaicError>
    readonly revoke: (
      serial: SerialNumber,
      reason: string
    ) => Effect.Effect<typeof CertificateRevocationDocument.Type, MosaicError>
  }
>()("@mosaic-federation/gateway/CertificateOperations") {
  /** Where no gateway may run, whoever looks settles what a program that was killed has left behind. */
  static readonly layerHere = Layer.effect(
    CertificateOperations,
    Effect.gen(function* () {
      const { settleAbandoned } = yield* TaskRepo
      const here = yield* makeCertificatesHere
      return CertificateOperations.of({
        list: (query) => Effect.andThen(settleAbandoned, here.list(query)),
        show: (serial) => Effect.andThen(settleAbandoned, here.show(serial)),
        revoke: (serial, reason) => Effect.andThen(settleAbandoned, here.revoke(serial, reason))
      })
    })
  )

  static readonly layerOverApi = Layer.effect(
    CertificateOperations,
    GatewayClient.use(({ ask }) =>
      Effect.succeed(
        CertificateOperations.of({
          list: (query) => ask((api) => api.certificates.list({ query: { ...query } })),
          show: (serial) => ask((api) => api.certificates.get({ params: { serial } })),
          revoke: (serial, reason) =>
            ask((api) => api.certificates.revoke({ params: { serial }, payload: { reason } }))
        })
      )
    )
  )
}
