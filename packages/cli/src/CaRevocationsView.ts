/** What a revocation does, in words: what it cannot do is said, so that nobody trusts it with more. */
import type { CaRevocations } from "@mosaic-federation/domain/api/CertificateDocument"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime } from "effect"

const certificates = (count: number) => `${count} certificate${count === 1 ? "" : "s"}`

export const aftermath = (live: number, last: DateTime.Utc | null, whose: string): string =>
  live === 0 || last === null
    ? `No certificate of ${whose} is valid any more.`
    : `${certificates(live)} of ${whose} ${live === 1 ? "stays" : "stay"} valid until ${utc(DateTime.toDateUtc(last))} at the latest, for whoever checks the certificate alone and not the grant.`

/** How far the CA has followed. Its answers do not change what was revoked here. */
export const atTheCa = (
  { because, done, open }: CaRevocations,
  whose: string,
  again: string
): ReadonlyArray<string> => [
  ...(done === 0 ? [] : [`The CA has revoked ${certificates(done)} of ${whose}: none renews there.`]),
  ...(open === 0
    ? []
    : [
        `The CA has yet to revoke ${certificates(open)} of ${whose}${because === null ? "" : ` (${because})`}: ${again}.`
      ])
]
