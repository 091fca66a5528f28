/** An enrollment token as commands show it: without its secret. */
import type { TokenDocument } from "@mosaic-federation/domain/api/TokenDocument"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime } from "effect"
import { table } from "./table.ts"

const instant = (at: DateTime.Utc) => utc(DateTime.toDateUtc(at))

export const tokenLines = ({ expiresAt, grantId, id, keySha256 }: TokenDocument): ReadonlyArray<string> => [
  `id       ${id}`,
  `grant    ${grantId}`,
  `key      ${keySha256 === null ? "any" : `SHA-256 ${keySha256}`}`,
  `expires  ${instant(expiresAt)}`
]

const noteOf = ({ revokedAt, use }: TokenDocument): string => {
  if (use !== null) return `used ${instant(use.at)} from ${use.from} for certificate ${use.serial}`
  return revokedAt === null ? "" : `revoked ${instant(revokedAt)}`
}

export const tokenTable = (tokens: ReadonlyArray<TokenDocument>): ReadonlyArray<string> =>
  table(
    ["TOKEN", "STATUS", "EXPIRES", "MADE BY", "NOTE"],
    tokens.map((token) => [token.id, token.status, instant(token.expiresAt), token.createdBy, noteOf(token)])
  )
