/** Calls that go to the database together; those within a transaction are that transaction's, and go alone. */
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { Context, Effect, Option } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import { makeTogether, type TogetherOptions } from "./together.ts"

export const statementsTogether = <In, Out>(
  sql: SqlClient,
  { alone, run }: Omit<TogetherOptions<In, Out, StorageError>, "mayBeOfOne">
) => {
  // The server answered, so the statement is rolled back. Of one whose answer is lost, nobody knows.
  const together = makeTogether({ alone, run, mayBeOfOne: ({ _tag }) => _tag === "StorageFailed" })
  return (input: In): Effect.Effect<Out, StorageError> =>
    Effect.contextWith((context: Context.Context<never>) =>
      Option.isSome(Context.getOption(context, sql.transactionService)) ? alone(input) : together(input)
    )
}
