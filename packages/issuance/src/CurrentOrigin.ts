/**
 * On whose behalf a certificate is issued. It is a reference, so that what issues needs no parameter for it; what must be
 * committed with the certificate because of it is left to `CertificateOrigin`.
 */
import type { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { Context } from "effect"

export type CertificateOrigin =
  | { readonly _tag: "Operator" }
  | {
      readonly _tag: "Enrollment"
      readonly tokenId: EnrollmentTokenId
      /** The address of the peer. */
      readonly from: string
      readonly requestId: string
    }
  | {
      readonly _tag: "Renewal"
      readonly renewedSerial: SerialNumber
      /** The newest certificate in its place, for another CSR, when the renewal was allowed. */
      readonly newest: SerialNumber | null
    }

export const CurrentOrigin = Context.Reference<CertificateOrigin>(
  "@mosaic-federation/issuance/CertificateOrigin",
  { defaultValue: () => ({ _tag: "Operator" }) }
)
