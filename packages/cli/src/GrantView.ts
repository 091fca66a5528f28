/** A grant as commands show it: the stable document of docs/cli.md, a page for one and a table for many. */
import type { Grant } from "@mosaic-federation/domain/Grant"
import { timeLeft, utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime } from "effect"
import { table } from "./table.ts"

const iso = (instant: DateTime.Utc | null) => (instant === null ? null : DateTime.formatIso(instant))

export const grantDocument = (grant: Grant, now: DateTime.Utc) => ({
  id: grant.id,
  subjectUserId: grant.subjectUserId,
  peer: grant.peer,
  scopes: grant.scopes,
  status: grant.statusAt(now),
  expiresAt: iso(grant.expiresAt),
  createdAt: iso(grant.createdAt),
  revokedAt: iso(grant.revokedAt),
  revocationReason: grant.revocationReason
})

const scopesOf = (grant: Grant) => (grant.scopes.length === 0 ? "none" : grant.scopes.join(" "))

export const grantLines = (grant: Grant, now: DateTime.Utc): ReadonlyArray<string> => {
  const expiry = DateTime.toDateUtc(grant.expiresAt)
  return [
    `grant      ${grant.id}`,
    `acts for   user ${grant.subjectUserId}`,
    `peer       ${grant.peer}`,
    `scopes     ${scopesOf(grant)}`,
    `status     ${grant.statusAt(now)}`,
    `expires    ${utc(expiry)}  (${timeLeft(expiry, DateTime.toDateUtc(now))})`,
    `created    ${utc(DateTime.toDateUtc(grant.createdAt))}`,
    ...(grant.revokedAt === null
      ? []
      : [
          `revoked    ${utc(DateTime.toDateUtc(grant.revokedAt))}: ${grant.revocationReason ?? "no reason given"}`
        ])
  ]
}

export const grantTable = (grants: ReadonlyArray<Grant>, now: DateTime.Utc): ReadonlyArray<string> =>
  table(
    ["GRANT", "STATUS", "PEER", "USER", "EXPIRES", "SCOPES"],
    grants.map((grant) => [
      grant.id,
      grant.statusAt(now),
      grant.peer,
      grant.subjectUserId,
      utc(DateTime.toDateUtc(grant.expiresAt)),
      scopesOf(grant)
    ])
  )
