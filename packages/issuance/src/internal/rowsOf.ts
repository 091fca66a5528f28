/** Runs a statement and reads its rows, so that whatever goes wrong with either is a storage error of the closed union. */
import { StorageFailed, StorageUnavailable } from "@mosaic-federation/domain/StorageErrors"
import { Duration, Effect, Schema } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { endable, endAfter } from "../endable.ts"
import { storageError } from "./storageError.ts"

const standardPatience = "30 seconds"

/** A server that took the statement and went silent is given up after a while. */
const bounded =
  (operation: string, patience: string & Duration.Input) =>
  <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | StorageUnavailable> => {
    const silent = () => new StorageUnavailable({ operation, reason: `no answer within ${patience}` })
    return endable(effect, endAfter(Duration.toMillis(patience), silent))
  }

type Decode<Row> = (rows: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<Row>, Schema.SchemaError>

/** A decoder is compiled when it is first used, which costs more than the statement: one for each kind of row. */
const decoders = new WeakMap<object, unknown>()

const decoderOf = <Row, Encoded>(row: Schema.Codec<Row, Encoded>): Decode<Row> => {
  const known = decoders.get(row)
  if (known !== undefined) return known as Decode<Row>
  const decode: Decode<Row> = Schema.decodeUnknownEffect(Schema.Array(row))
  decoders.set(row, decode)
  return decode
}

/** A row that does not decode was changed by hand. `patience` is for what may take long. */
export const rowsOf = <Row, Encoded>(
  operation: string,
  row: Schema.Codec<Row, Encoded>,
  statement: Effect.Effect<ReadonlyArray<unknown>, SqlError>,
  patience: string & Duration.Input = standardPatience
) => {
  const decode = decoderOf(row)
  return statement.pipe(
    Effect.mapError(storageError(operation)),
    bounded(operation, patience),
    Effect.flatMap((rows) =>
      decode(rows).pipe(Effect.mapError((error) => new StorageFailed({ operation, reason: error.message })))
    )
  )
}
