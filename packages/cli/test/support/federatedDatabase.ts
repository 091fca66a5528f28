/** A database in the federated tier without the services beside it, and a station whose configuration names it. */
import { randomUUID } from "node:crypto"
import { writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as PgClient from "@effect/sql-pg/PgClient"
import { EmbeddedPostgres } from "@mosaic-federation/issuance/EmbeddedPostgres"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { station } from "./mosaic.ts"

/** A database of its own in the federated tier, by its owner's login; no Valkey listens, which none of this needs. */
export const federated = Effect.gen(function* () {
  const { environment, rootPath } = yield* StepCaProcess
  const { connection } = yield* EmbeddedPostgres
  const database = `test_${randomUUID().replaceAll("-", "")}`
  yield* SqlClient.use((sql) => sql`CREATE DATABASE ${sql(database)}`).pipe(
    Effect.provide(PgClient.layer(connection))
  )
  const urlOf = (username: string, password: string) =>
    `postgresql://${username}:${password}@/${database}?host=${dirname(connection.path)}`
  const owner = urlOf(connection.username, Redacted.value(connection.password))
  const where = yield* station(environment)
  const use = (url: string) =>
    writeFileSync(
      join(where.directory, "mosaic.config.json"),
      JSON.stringify({ tier: "federated", database: url, queue: "redis://127.0.0.1:1" }),
      { mode: 0o600 }
    )
  use(owner)
  return { where, owner, use, urlOf, rootPath, plain: PgClient.layer({ ...connection, database }) }
})
