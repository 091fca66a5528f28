/**
 * The same checks of what is written with each certificate, in a form that costs less: for a counted repetition PostgreSQL
 * makes a state for each character, anew in each statement; for "none but these" it makes two.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"

export const cheaperChecks = Effect.gen(function* () {
  const sql = yield* SqlClient
  const replace = (table: string, column: string, check: Fragment) => {
    const name = sql(`${table}_${column}_check`)
    return sql`ALTER TABLE ${sql(table)} DROP CONSTRAINT ${name}, ADD CONSTRAINT ${name} CHECK (${check})`
  }
  const sha256 = (column: string) => sql`length(${sql(column)}) = 64 AND ${sql(column)} !~ '[^0-9a-f]'`

  yield* replace(
    "federation_certificates",
    "serial",
    sql`length(serial) BETWEEN 19 AND 39 AND serial !~ '[^0-9]' AND serial !~ '^0'`
  )
  yield* replace("federation_certificates", "csr_sha256", sha256("csr_sha256"))
  yield* replace("federation_certificates", "fingerprint_sha256", sha256("fingerprint_sha256"))
  yield* replace("federation_audit", "action", sql`length(action) <= 64 AND action ~ '^[a-z][a-z.-]*$'`)
  yield* replace("federation_audit", "outcome", sql`length(outcome) <= 64 AND outcome ~ '^[a-z][a-z-]*$'`)
})
