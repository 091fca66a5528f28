/** All or nothing: what fails of the transaction itself is a storage error of the closed union as well. */
import type { StorageFailed, StorageUnavailable } from "@mosaic-federation/domain/StorageErrors"
import { Effect } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { storageError } from "./storageError.ts"

export const transactionOn =
  (sql: SqlClient) =>
  <A, E, R>(
    operation: string,
    effect: Effect.Effect<A, E | SqlError, R>
  ): Effect.Effect<A, Exclude<E, SqlError> | StorageUnavailable | StorageFailed, R> =>
    sql
      .withTransaction(effect)
      .pipe(
        Effect.catchIf(isSqlError, (error) => Effect.fail(storageError(operation)(error)))
      ) as Effect.Effect<A, Exclude<E, SqlError> | StorageUnavailable | StorageFailed, R>
