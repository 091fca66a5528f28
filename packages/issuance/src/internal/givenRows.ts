/**
 * Statements over rows that the program gives: one text for a single row, which is planned as if its values stood in the
 * statement, and one for any number of them, whose values go as one array for each column. The arrays come from
 * subqueries, so that no plan for these very rows looks cheaper than one for any: with a few rows less than the ten that
 * PostgreSQL supposes in an array that it does not see, it would plan each statement anew.
 */
import type { SqlClient } from "effect/sql/SqlClient"
import type { NonEmptyReadonlyArray } from "effect/Array"

type Value = string | Date

/**
 * `columns` are the names of the columns and their PostgreSQL types; `textOf` makes the statement of a name by which it
 * reads the rows. An array of nulls has no type, so what may be absent is given as an empty text and read with `nullif`.
 */
export const overGivenRows = <Row extends { readonly [column in keyof Row]: Value }>(
  sql: SqlClient,
  columns: { readonly [column in keyof Row]: string },
  textOf: (given: string) => string
) => {
  const names = Object.keys(columns) as Array<keyof Row & string>
  const parameters = names.map((name, index) => `$${index + 1}::${columns[name]}`)
  const single = parameters.map((parameter, index) => `${parameter} AS ${names[index]}`)
  const textOfOne = textOf(`(SELECT ${single.join(", ")})`)
  const textOfMany = textOf(
    `(SELECT * FROM unnest(${parameters.map((p) => `(SELECT ${p}[])`).join(", ")}) AS t (${names.join(", ")}))`
  )
  return (rows: NonEmptyReadonlyArray<Row>) => {
    const [first, ...others] = rows
    return others.length === 0
      ? sql.unsafe<object>(
          textOfOne,
          names.map((name) => first[name])
        )
      : sql.unsafe<object>(
          textOfMany,
          names.map((name) => rows.map((row) => row[name]))
        )
  }
}
