/** The rules that an issuance goes through, in their order, held against a grant at one instant. Pure. */
import type { Grant } from "@mosaic-federation/domain/Grant"
import {
  GrantExpired,
  GrantRevoked,
  GrantSuspended,
  GrantTooShort
} from "@mosaic-federation/domain/GrantErrors"
import { formatLifetime } from "@mosaic-federation/domain/Lifetime"
import type { Lifetimes } from "@mosaic-federation/issuance/IssuanceConfig"
import { DateTime, Duration } from "effect"

export interface Rule {
  readonly rule: "not revoked" | "not suspended" | "not expired" | "long enough"
  readonly outcome: "ok" | "fails"
  readonly found: string
  readonly errorCode: string | null
  readonly holdsUntil: DateTime.Utc | null
}

export interface Explanation {
  readonly mayIssue: boolean
  /** The longest lifetime that may be asked for now, in whole seconds; null where none may. */
  readonly longestLifetime: Duration.Duration | null
  readonly rules: ReadonlyArray<Rule>
  readonly next: { readonly rule: string; readonly errorCode: string; readonly at: DateTime.Utc } | null
}

interface Check {
  readonly rule: Rule["rule"]
  readonly ok: boolean
  readonly found: string
  readonly errorCode: string
  readonly holdsUntil: DateTime.Utc | null
}

const iso = DateTime.formatIso

export const explainGrant = (
  grant: Grant,
  { longest, shortest }: Lifetimes,
  now: DateTime.Utc
): Explanation => {
  const { expiresAt, revocationReason, revokedAt, storedStatus } = grant
  const left = Duration.max(DateTime.distance(now, expiresAt), Duration.zero)
  const tooShortFrom = DateTime.subtractDuration(expiresAt, shortest)
  const checks: ReadonlyArray<Check> = [
    {
      rule: "not revoked",
      ok: storedStatus !== "revoked",
      found:
        storedStatus === "revoked"
          ? `revoked at ${iso(revokedAt ?? now)}: ${revocationReason ?? "no reason given"}`
          : "not revoked",
      errorCode: GrantRevoked.code,
      holdsUntil: null
    },
    {
      rule: "not suspended",
      ok: storedStatus !== "suspended",
      found: storedStatus === "suspended" ? "suspended" : "not suspended",
      errorCode: GrantSuspended.code,
      holdsUntil: null
    },
    {
      rule: "not expired",
      ok: DateTime.isLessThan(now, expiresAt),
      found: `expires at ${iso(expiresAt)}`,
      errorCode: GrantExpired.code,
      holdsUntil: expiresAt
    },
    {
      rule: "long enough",
      ok: Duration.isGreaterThanOrEqualTo(left, shortest),
      found: `${formatLifetime(left)} left, the shortest certificate takes ${formatLifetime(shortest)}`,
      errorCode: GrantTooShort.code,
      holdsUntil: tooShortFrom
    }
  ]
  const mayIssue = checks.every(({ ok }) => ok)
  const rules = checks.map(({ errorCode, found, holdsUntil, ok, rule }): Rule => ({
    rule,
    outcome: ok ? "ok" : "fails",
    found,
    errorCode: ok ? null : errorCode,
    holdsUntil: ok ? holdsUntil : null
  }))
  return {
    mayIssue,
    longestLifetime: mayIssue
      ? Duration.seconds(Math.floor(Duration.toSeconds(Duration.min(longest, left))))
      : null,
    rules,
    // Of those that time alone can break, this one breaks first: it takes more of the grant than being alive does.
    next: mayIssue ? { rule: "long enough", errorCode: GrantTooShort.code, at: tooShortFrom } : null
  }
}
