/** Rows that are looked for by their id: those that are looked for at the same time are found in one statement. */
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Option, type Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { rowsOf } from "./rowsOf.ts"
import { statementsTogether } from "./statementsTogether.ts"

/**
 * The statement looks for each in a subquery of its own, which the planner cannot merge: a plan that is made while the table
 * is small, and kept, looks into the index all the same. The ids come from a subquery too, so that no plan for these very ids
 * looks cheaper than one for any: PostgreSQL would plan each statement anew, which takes eight times as long as to run it.
 */
export const foundTogether = <Asked, Row, Encoded, Found>(
  sql: SqlClient,
  {
    nameOf,
    nameOfRow,
    operation,
    read,
    row,
    statement
  }: {
    readonly operation: string
    /** Finds the rows of what is asked for, in any order; nothing is asked for twice. */
    readonly statement: (asked: ReadonlyArray<Asked>) => Effect.Effect<ReadonlyArray<unknown>, SqlError>
    readonly row: Schema.Codec<Row, Encoded>
    readonly read: (row: Row) => Found
    /** The same for what is asked for and for the row that is found for it. */
    readonly nameOf: (asked: Asked) => string
    readonly nameOfRow: (row: Row) => string
  }
) => {
  const run = (asked: NonEmptyReadonlyArray<Asked>) => {
    const byName = new Map(asked.map((one) => [nameOf(one), one]))
    return Effect.map(rowsOf(operation, row, statement([...byName.values()])), (rows) => {
      const found = new Map(rows.map((one) => [nameOfRow(one), read(one)]))
      return asked.map((one) => Option.fromUndefinedOr(found.get(nameOf(one))))
    })
  }
  const find: (asked: Asked) => Effect.Effect<Option.Option<Found>, StorageError> = statementsTogether(sql, {
    run,
    alone: (one) => Effect.map(run([one]), ([found]) => found ?? Option.none())
  })
  return find
}
