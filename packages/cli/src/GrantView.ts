/** A grant as commands show it: a page for one and a table for many. */
import type { GrantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { timeLeft, utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime } from "effect"
import { table } from "./table.ts"

const scopesOf = (grant: GrantDocument) => (grant.scopes.length === 0 ? "none" : grant.scopes.join(" "))

export const grantLines = (grant: GrantDocument, now: DateTime.Utc): ReadonlyArray<string> => {
  const expiry = DateTime.toDateUtc(grant.expiresAt)
  return [
    `grant      ${grant.id}`,
    `acts for   user ${grant.subjectUserId}`,
    `peer       ${grant.peer}`,
    `scopes     ${scopesOf(grant)}`,
    `status     ${grant.status}`,
    `expires    ${utc(expiry)}  (${timeLeft(expiry, DateTime.toDateUtc(now))})`,
    `created    ${utc(DateTime.toDateUtc(grant.createdAt))}`,
    ...(grant.revokedAt === null
      ? []
      : [
          `revoked    ${utc(DateTime.toDateUtc(grant.revokedAt))}: ${grant.revocationReason ?? "no reason given"}`
        ])
  ]
}

export const grantTable = (grants: ReadonlyArray<GrantDocument>): ReadonlyArray<string> =>
  table(
    ["GRANT", "STATUS", "PEER", "USER", "EXPIRES", "SCOPES"],
    grants.map((grant) => [
      grant.id,
      grant.status,
      grant.peer,
      grant.subjectUserId,
      utc(DateTime.toDateUtc(grant.expiresAt)),
      scopesOf(grant)
    ])
  )
