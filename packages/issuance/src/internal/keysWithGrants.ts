/**
 * API keys, each with the grant that a request names which it came with: one statement finds both for all that are looked for
 * at the same time. What the key is good for, its reader decides.
 */
import type { ApiKey, ApiKeyId } from "@mosaic-federation/domain/ApiKey"
import type { Grant } from "@mosaic-federation/domain/Grant"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import { GrantRow, toGrant } from "../GrantRepo.ts"
import { ApiKeyRow, toApiKey } from "./apiKeyRow.ts"
import { foundTogether } from "./foundTogether.ts"

export interface KeyToFind {
  readonly id: ApiKeyId
  /** Of the grant that is wanted with it. */
  readonly grantId: GrantId | null
}

export interface RecordedApiKey {
  readonly key: ApiKey
  readonly keySha256: string
  /** The one that was asked for with it; null where there is none. */
  readonly grant: Grant | null
}

/** An array of nulls has no type, so no grant is an empty text. */
const Row = Schema.Struct({
  key: ApiKeyRow,
  asked_grant_id: Schema.String,
  grant: Schema.NullOr(GrantRow)
})

/** Of a grant, and the name that each goes by beside the key's. */
const grantColumns = Object.keys(GrantRow.fields).map((name) => [name, `grant_${name}`] as const)

/** As in `foundTogether`: subqueries that the planner cannot merge, and ids that it does not see. */
const text = `
  SELECT k.*, asked.grant_id AS asked_grant_id, ${grantColumns.map(([name, beside]) => `g.${name} AS ${beside}`).join(", ")}
  FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) AS asked (id, grant_id)
  CROSS JOIN LATERAL (SELECT * FROM federation_api_keys t WHERE t.id = asked.id OFFSET 0) k
  LEFT JOIN LATERAL (
    SELECT * FROM federation_grants t WHERE t.id = nullif(asked.grant_id, '')::uuid OFFSET 0
  ) g ON true`

const apart = (row: Readonly<Record<string, unknown>>) => ({
  key: row,
  asked_grant_id: row["asked_grant_id"],
  grant:
    row["grant_id"] === null
      ? null
      : Object.fromEntries(grantColumns.map(([name, beside]) => [name, row[beside]]))
})

const toRecorded = ({ grant, key }: typeof Row.Type): RecordedApiKey => ({
  key: toApiKey(key),
  keySha256: key.key_sha256,
  grant: grant === null ? null : toGrant(grant)
})

const nameOf = (id: string, grantId: string) => `${id} ${grantId}`

export const keysWithGrantsOn = (sql: SqlClient) =>
  foundTogether(sql, {
    operation: "find an API key and the grant that goes with it",
    statement: (asked: ReadonlyArray<KeyToFind>) =>
      Effect.map(
        sql.unsafe<Readonly<Record<string, unknown>>>(text, [
          asked.map(({ id }) => id),
          asked.map(({ grantId }) => grantId ?? "")
        ]),
        (rows) => rows.map(apart)
      ),
    row: Row,
    read: toRecorded,
    nameOf: ({ grantId, id }) => nameOf(id, grantId ?? ""),
    nameOfRow: ({ asked_grant_id: grantId, key }) => nameOf(key.id, grantId)
  })
