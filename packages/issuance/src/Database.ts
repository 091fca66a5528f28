/**
 * The database that the records lie in, migrated to this version: the PostgreSQL that `DATABASE_URL` names or, when it
 * is not set, the embedded one. Provides `PgClient` and `SqlClient`.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Option, Redacted } from "effect"
import { databaseSettings } from "./DatabaseUrl.ts"
import { EmbeddedPostgres } from "./EmbeddedPostgres.ts"
import { storageError } from "./internal/storageError.ts"
import { migrate } from "./Migrations.ts"
import { sourcedSetting } from "./Setting.ts"

const pool = (settings: PgClient.PgPoolConfig) =>
  PgClient.layerFrom(
    PgClient.make({ applicationName: "mosaic", keepAlive: "30 seconds", ...settings }).pipe(
      Effect.mapError(storageError("connect to the database"))
    )
  )

const layerMigrated = Layer.effectDiscard(migrate())

const migrated = (settings: PgClient.PgPoolConfig) => layerMigrated.pipe(Layer.provideMerge(pool(settings)))

/** `text` is a libpq connection URI, `source` the setting that holds it. */
export const layerUrl = (text: Redacted.Redacted, source: string) =>
  Layer.unwrap(Effect.map(databaseSettings(text, source), migrated)).pipe(Layer.provide(NodeFileSystem.layer))

/** Starts the embedded PostgreSQL or joins the one that runs, and keeps it running until the scope closes. */
export const layerEmbedded = Layer.unwrap(
  EmbeddedPostgres.use(({ connection }) => Effect.succeed(migrated(connection)))
).pipe(Layer.provide(EmbeddedPostgres.layer))

export const layer = Layer.unwrap(
  Effect.map(
    sourcedSetting("DATABASE_URL"),
    Option.match({
      onNone: () => layerEmbedded,
      onSome: ({ source, value }) => layerUrl(Redacted.make(value), source)
    })
  )
).pipe(Layer.provide(NodeFileSystem.layer))
