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
import { migrate, requireMigrated } from "./Migrations.ts"
import { sourcedSetting } from "./Setting.ts"

const pool = (settings: PgClient.PgPoolConfig) =>
  PgClient.layerFrom(
    PgClient.make({ applicationName: "mosaic", keepAlive: "30 seconds", ...settings }).pipe(
      Effect.mapError(storageError("connect to the database"))
    )
  )

/**
 * What becomes of a schema that is behind. `apply` brings it to this version; `require` refuses it, but for an empty
 * database; `leave` does not look.
 */
export type Upgrade = "apply" | "require" | "leave"

const upgrades = {
  apply: Layer.effectDiscard(migrate()),
  require: Layer.effectDiscard(requireMigrated()),
  leave: Layer.empty
} as const

const upgraded = (settings: PgClient.PgPoolConfig, upgrade: Upgrade) =>
  upgrades[upgrade].pipe(Layer.provideMerge(pool(settings)))

/** `text` is a libpq connection URI, `source` the setting that holds it. */
export const layerUrl = (text: Redacted.Redacted, source: string, upgrade: Upgrade = "apply") =>
  Layer.unwrap(Effect.map(databaseSettings(text, source), (settings) => upgraded(settings, upgrade))).pipe(
    Layer.provide(NodeFileSystem.layer)
  )

/** Starts the embedded PostgreSQL or joins the one that runs, and keeps it running until the scope closes. */
export const layerEmbedded = (upgrade: Upgrade = "apply") =>
  Layer.unwrap(EmbeddedPostgres.use(({ connection }) => Effect.succeed(upgraded(connection, upgrade)))).pipe(
    Layer.provide(EmbeddedPostgres.layer)
  )

/** As the environment alone has it, for programs without a configuration file. */
export const layer = Layer.unwrap(
  Effect.map(
    sourcedSetting("DATABASE_URL"),
    Option.match({
      onNone: () => layerEmbedded(),
      onSome: ({ source, value }) => layerUrl(Redacted.make(value), source)
    })
  )
).pipe(Layer.provide(NodeFileSystem.layer))
