/** How near the end of a CA certificate is, in the same words for roots and intermediates. */
import type { Certificate } from "@mosaic-federation/x509/Certificate"
import { timeLeft } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Duration, Effect } from "effect"

/** A root or an intermediate takes days to replace everywhere. */
export const warnBefore = Duration.days(30)

/** Of the one that ends first. */
export const expiryOf = Effect.fnUntraced(function* (certificates: ReadonlyArray<Certificate>) {
  const now = DateTime.toDateUtc(yield* DateTime.now)
  const [first] = certificates.toSorted((a, b) => a.notAfter.getTime() - b.notAfter.getTime())
  if (first === undefined) return undefined
  const millisLeft = first.notAfter.getTime() - now.getTime()
  return {
    subject: first.subject.text,
    notAfter: first.notAfter.toISOString(),
    left: timeLeft(first.notAfter, now),
    isOver: millisLeft < 0,
    isNear: millisLeft < Duration.toMillis(warnBefore),
    certificate: first
  }
})
