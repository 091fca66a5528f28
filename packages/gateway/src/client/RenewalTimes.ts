/** When a certificate is renewed, and how long a peer waits after a try that failed. Pure. */
import { createHash } from "node:crypto"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { DateTime, Duration } from "effect"
import type { Held } from "./PeerDirectory.ts"

/** By how much of its life one certificate's time is before or after another's at most. */
const jitter = 0.1

const notAfterOf = ({ leaf }: Held) => DateTime.fromDateUnsafe(leaf.notAfter)

/** Even over 0 to 1, and the same after a restart. */
const fractionOf = ({ leaf }: Held) =>
  createHash("sha256").update(leaf.fingerprintSha256).digest().readUInt32BE() / 2 ** 32

/** Two thirds of the time between receipt and notAfter, by this machine's clock, up to 5 % of it sooner or later. */
export const renewalTime = (held: Held): DateTime.Utc => {
  const received = DateTime.toEpochMillis(held.receivedAt)
  const life = DateTime.toEpochMillis(notAfterOf(held)) - received
  return DateTime.makeUnsafe(Math.round(received + life * (2 / 3 + (fractionOf(held) - 0.5) * jitter)))
}

const shortestPause = Duration.seconds(1)
const firstPause = Duration.seconds(5)
const longestPause = Duration.hours(1)

/**
 * The pause after the n-th failure in a row: 5 s, 10 s, 20 s and so on up to an hour, never more than an eighth of what
 * is left, so that there are always more tries to come; shortened at random by up to a fifth.
 */
export const pauseAfter = (failures: number, left: Duration.Duration, random: number): Duration.Duration =>
  Duration.max(
    shortestPause,
    Duration.times(
      Duration.min(
        Duration.min(Duration.times(firstPause, 2 ** Math.min(failures - 1, 20)), longestPause),
        Duration.times(left, 1 / 8)
      ),
      1 - random / 5
    )
  )

/** A gateway that says when to come again is believed. */
export const askedToWait = (error: MosaicError, now: DateTime.Utc): DateTime.Utc | null => {
  if (error._tag === "RenewalTooSoon") return error.retryAt
  return "retryAfterSeconds" in error && error.retryAfterSeconds !== null
    ? DateTime.addDuration(now, Duration.seconds(error.retryAfterSeconds))
    : null
}

export const endsGrant = (error: MosaicError): boolean =>
  error._tag === "GrantRevoked" || error._tag === "GrantExpired"

/** No later try can succeed: the grant has ended, or this certificate has. */
export const isOver = (error: MosaicError): boolean =>
  endsGrant(error) || error._tag === "PeerCertificateRevoked" || error._tag === "PeerCertificateExpired"
