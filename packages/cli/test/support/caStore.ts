/** What step-ca itself has on record, read from its database in PostgreSQL: the CA keeps its data there in these tests. */
import * as PgClient from "@effect/sql-pg/PgClient"
import type { FederatedPartsShape } from "@mosaic-federation/testing/FederatedParts"
import type { CaConfig } from "@mosaic-federation/testing/StepCaProcess"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { mosaicArc } from "@mosaic-federation/x509/Oid"
import { Effect, Redacted, Result, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

const database = "step_ca"

const at = ({ url }: FederatedPartsShape["postgres"], path: string) => {
  const there = new URL(Redacted.value(url))
  there.pathname = path
  return there.href
}

/** For `StepCaProcess.reconfigure`. step-ca makes the database and its tables. */
export const keptIn =
  (postgres: FederatedPartsShape["postgres"]) =>
  (config: CaConfig): CaConfig => ({
    ...config,
    db: { type: "postgresql", dataSource: at(postgres, "/"), database }
  })

const Rows = Schema.Array(Schema.Struct({ serial: Schema.String, value: Schema.Uint8Array }))

const isGrant = (der: Uint8Array) =>
  Result.getOrThrow(parseCertificate(der)).extensions.some(({ oid }) => oid.startsWith(`${mosaicArc}.`))

/** Serial numbers in decimal: of every grant certificate that it signed, and of all that it revoked. */
export const caStore = Effect.fnUntraced(function* (postgres: FederatedPartsShape["postgres"]) {
  return yield* Effect.gen(function* () {
    const sql = yield* SqlClient
    const rows = (table: string) =>
      Effect.flatMap(
        sql`SELECT convert_from(nkey, 'UTF8') AS serial, nvalue AS value FROM ${sql(table)}`,
        Schema.decodeUnknownEffect(Rows)
      )
    const signed = (yield* rows("x509_certs")).filter(({ value }) => isGrant(value))
    const revoked = yield* rows("revoked_x509_certs")
    return { signed: signed.map(({ serial }) => serial), revoked: revoked.map(({ serial }) => serial) }
  }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(at(postgres, `/${database}`)) })))
})
