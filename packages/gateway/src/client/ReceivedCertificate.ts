/** What a gateway handed out, checked by the peer itself: its own key, the grant it belongs to, the chain up to the root. */
import { CertificateNotConformant } from "@mosaic-federation/domain/CertificateErrors"
import type { IssuedDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { readCsr } from "@mosaic-federation/issuance/Csr"
import { type Certificate, parseCertificates } from "@mosaic-federation/x509/Certificate"
import { evaluate } from "@mosaic-federation/x509/CertificateConformance"
import type { GrantOids } from "@mosaic-federation/x509/Oid"
import { DateTime, Effect, Result } from "effect"

export interface ReceivedCertificate {
  /** The gateway's origin. */
  readonly url: URL
  readonly document: IssuedDocument
  readonly leaf: Certificate
  readonly chain: ReadonlyArray<Certificate>
  readonly roots: ReadonlyArray<Certificate>
  /** By this machine's clock. */
  readonly receivedAt: DateTime.Utc
}

export interface Expected {
  readonly url: URL
  readonly csrPem: string
  readonly roots: ReadonlyArray<Certificate>
  readonly oids: GrantOids
  /** Where there is a certificate already, the new one must be of the same grant. */
  readonly grantId?: string
}

export const checkReceived = Effect.fnUntraced(function* (
  document: IssuedDocument,
  { csrPem, grantId = document.grantId, oids, roots, url }: Expected
): Effect.fn.Return<ReceivedCertificate, MosaicError> {
  const source = `the certificate from ${url.origin}`
  const refused = (field: string, expected: string, found: string) =>
    new CertificateNotConformant({ source, mismatches: [{ field, expected, found }] })
  const csr = yield* Effect.fromResult(readCsr(csrPem))
  const [leaf, ...chain] = yield* Effect.fromResult(
    Result.mapError(parseCertificates(document.certificate + document.chain.join("")), ({ message }) =>
      refused("certificate", "an X.509 certificate (RFC 5280)", message)
    )
  )
  if (leaf === undefined) return yield* refused("certificate", "an X.509 certificate (RFC 5280)", "nothing")
  const receivedAt = yield* DateTime.now
  const asked = {
    grantId,
    subjectUserId: document.subjectUserId,
    csrSpki: csr.publicKeySpki,
    serial: document.serial,
    notAfter: DateTime.toDateUtc(document.notAfter)
  }
  const trust = { roots, oids, now: DateTime.toDateUtc(receivedAt) }
  const mismatches = evaluate({ leaf, chain }, asked, trust)
    .filter(({ outcome }) => outcome === "mismatch")
    .map(({ expected, field, found }) => ({ field, expected, found }))
  if (mismatches.length > 0) return yield* new CertificateNotConformant({ source, mismatches })
  return { url, document, leaf, chain, roots, receivedAt }
})
