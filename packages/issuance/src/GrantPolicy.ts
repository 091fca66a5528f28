/**
 * Whether a grant allows one certificate now, and from when to when. Pure: the same grant, request and clock always
 * get the same answer. A lifetime that is stated is given in full or refused, never cut.
 */
import type { Grant } from "@mosaic-federation/domain/Grant"
import {
  GrantExpired,
  GrantRevoked,
  GrantSubjectMismatch,
  GrantSuspended,
  GrantTooShort,
  LifetimeBeyondGrant,
  LifetimeTooLong,
  LifetimeTooShort
} from "@mosaic-federation/domain/GrantErrors"
import type { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { DateTime, Duration, Result } from "effect"
import type { Lifetimes } from "./IssuanceConfig.ts"

export type GrantRefusal =
  | GrantExpired
  | GrantRevoked
  | GrantSubjectMismatch
  | GrantSuspended
  | GrantTooShort
  | LifetimeBeyondGrant
  | LifetimeTooLong
  | LifetimeTooShort

export interface Validity {
  readonly notBefore: DateTime.Utc
  readonly notAfter: DateTime.Utc
}

/** The same minute by which step-ca backdates, so that a peer whose clock lags accepts the certificate at once. */
export const backdate = Duration.minutes(1)

/** RFC 5280 §4.1.2.5: certificate times have whole seconds; down, so that nothing outlives what was asked. */
const wholeSeconds = (instant: DateTime.Utc): DateTime.Utc =>
  DateTime.makeUnsafe(Math.floor(DateTime.toEpochMillis(instant) / 1000) * 1000)

/** Succeeds for an active grant alone. */
export const checkStatus = (
  grant: Grant,
  now: DateTime.Utc
): Result.Result<void, GrantExpired | GrantRevoked | GrantSuspended> => {
  const grantId = grant.id
  const status = grant.statusAt(now)
  switch (status) {
    case "active":
      return Result.succeed(undefined)
    case "suspended":
      return Result.fail(new GrantSuspended({ grantId }))
    case "expired":
      return Result.fail(new GrantExpired({ grantId, expiresAt: grant.expiresAt }))
    case "revoked":
      return Result.fail(
        new GrantRevoked({
          grantId,
          revokedAt: grant.revokedAt ?? now,
          reason: grant.revocationReason ?? "no reason given"
        })
      )
  }
}

export const checkSubject = (
  grant: Grant,
  asked: IssueCertRequest["subjectUserId"]
): Result.Result<void, GrantSubjectMismatch> =>
  asked === grant.subjectUserId
    ? Result.succeed(undefined)
    : Result.fail(new GrantSubjectMismatch({ grantId: grant.id, asked }))

/** Checks in this order: status, what the grant has left, the lifetime asked for. */
export const decideValidity = (
  grant: Grant,
  request: Pick<IssueCertRequest, "lifetime">,
  lifetimes: Lifetimes,
  now: DateTime.Utc
): Result.Result<Validity, GrantRefusal> => {
  const grantId = grant.id
  return Result.flatMap(checkStatus(grant, now), (): Result.Result<Validity, GrantRefusal> => {
    const start = wholeSeconds(now)
    const end = wholeSeconds(grant.expiresAt)
    const left = Duration.max(DateTime.distance(start, end), Duration.zero)
    const { longest, shortest, standard } = lifetimes
    if (Duration.isLessThan(left, shortest)) {
      return Result.fail(new GrantTooShort({ grantId, expiresAt: grant.expiresAt, shortest }))
    }
    const asked = request.lifetime
    if (asked !== undefined) {
      if (Duration.isGreaterThan(asked, longest)) return Result.fail(new LifetimeTooLong({ asked, longest }))
      if (Duration.isLessThan(asked, shortest)) return Result.fail(new LifetimeTooShort({ asked, shortest }))
      if (Duration.isGreaterThan(asked, left)) {
        return Result.fail(new LifetimeBeyondGrant({ grantId, asked, left, expiresAt: grant.expiresAt }))
      }
    }
    const lifetime = asked ?? Duration.min(standard, left)
    return Result.succeed({
      notBefore: DateTime.subtractDuration(start, backdate),
      notAfter: wholeSeconds(DateTime.addDuration(start, lifetime))
    })
  })
}
