/** An API key as commands show it: the stable document of docs/cli.md, a page for one and a table for many. */
import type { ApiKey } from "@mosaic-federation/domain/ApiKey"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime } from "effect"
import { table } from "./table.ts"

const iso = (instant: DateTime.Utc | null) => (instant === null ? null : DateTime.formatIso(instant))

const shown = (instant: DateTime.Utc | null, otherwise: string) =>
  instant === null ? otherwise : utc(DateTime.toDateUtc(instant))

export const apiKeyDocument = (key: ApiKey, now: DateTime.Utc) => ({
  id: key.id,
  name: key.name,
  scope: key.scope,
  status: key.statusAt(now),
  createdAt: iso(key.createdAt),
  expiresAt: iso(key.expiresAt),
  revokedAt: iso(key.revokedAt),
  rotatedTo: key.rotatedTo,
  lastUsedAt: iso(key.lastUsedAt),
  lastUsedFrom: key.lastUsedFrom
})

export const apiKeyLines = (key: ApiKey): ReadonlyArray<string> => [
  `id       ${key.id}`,
  `name     ${key.name}`,
  `scope    ${key.scope}`,
  `expires  ${shown(key.expiresAt, "never")}`
]

const lastUse = ({ lastUsedAt, lastUsedFrom }: ApiKey) =>
  lastUsedAt === null ? "never" : `${shown(lastUsedAt, "")} from ${lastUsedFrom ?? "unknown"}`

export const apiKeyTable = (keys: ReadonlyArray<ApiKey>, now: DateTime.Utc): ReadonlyArray<string> =>
  table(
    ["KEY", "NAME", "SCOPE", "STATUS", "EXPIRES", "LAST USE"],
    keys.map((key) => [
      key.id,
      key.name,
      key.scope,
      key.statusAt(now),
      shown(key.expiresAt, "never"),
      lastUse(key)
    ])
  )
