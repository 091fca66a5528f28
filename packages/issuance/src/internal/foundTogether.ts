/** Rows that are looked for by their id: those that are looked for at the same time are found in one statement. */
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Option, type Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { SqlClient } from "effect/sql/SqlClient"
import { rowsOf } from "./rowsOf.ts"
import { statementsTogether } from "./statementsTogether.ts"

/**
 * Each is looked for in a subquery of its own, which the planner cannot merge: a plan that is made while the table is
 * small, and kept, looks into the index all the same. The ids come from a subquery too, so that no plan for these very ids
 * looks cheaper than one for any: PostgreSQL would plan each statement anew, which takes eight times as long as to run it.
 */
export const foundTogether = <Id extends string, Row extends { readonly id: Id }, Encoded>(
  sql: SqlClient,
  {
    idType,
    operation,
    row,
    table
  }: {
    readonly operation: string
    readonly table: string
    /** The PostgreSQL type of the id. */
    readonly idType: string
    readonly row: Schema.Codec<Row, Encoded>
  }
) => {
  const text = `
    SELECT found.* FROM unnest((SELECT $1::${idType}[])) AS asked (id) CROSS JOIN LATERAL (
      SELECT * FROM ${table} t WHERE t.id = asked.id OFFSET 0
    ) found`
  const run = (ids: NonEmptyReadonlyArray<Id>) =>
    Effect.map(rowsOf(operation, row, sql.unsafe<object>(text, [[...new Set(ids)]])), (rows) => {
      const byId = new Map(rows.map((one) => [one.id, one]))
      return ids.map((id) => Option.fromUndefinedOr(byId.get(id)))
    })
  const find: (id: Id) => Effect.Effect<Option.Option<Row>, StorageError> = statementsTogether(sql, {
    run,
    alone: (id) => Effect.map(run([id]), ([found]) => found ?? Option.none())
  })
  return find
}
