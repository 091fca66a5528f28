import { DateTime, Schema } from "effect"
import { SerialNumber } from "./SerialNumber.ts"

/** One certificate in PEM (RFC 7468 §5): a single block that ends in a newline. */
export const CertificatePem = Schema.String.check(
  Schema.isPattern(/^-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,64}\n)+-----END CERTIFICATE-----\n$/, {
    expected: "one PEM block CERTIFICATE"
  })
)

/**
 * A certificate that passed every conformance check and is recorded. `chain` holds the issuing certificates in order,
 * without the leaf and without the root.
 */
export class IssuedCert extends Schema.Class<IssuedCert>("IssuedCert")(
  Schema.Struct({
    certificate: CertificatePem,
    chain: Schema.Array(CertificatePem),
    serial: SerialNumber,
    notBefore: Schema.DateTimeUtcFromString,
    notAfter: Schema.DateTimeUtcFromString
  }).check(
    Schema.makeFilter(({ notAfter, notBefore }) => DateTime.isLessThan(notBefore, notAfter), {
      expected: "notBefore before notAfter"
    })
  )
) {
  /** Leaf first, then the chain: what a TLS client presents (RFC 8446 §4.4.2). */
  get fullChainPem(): string {
    return this.certificate + this.chain.join("")
  }
}
