import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { ConfigProvider, Effect, Layer } from "effect"
import * as Database from "../../src/Database.ts"

const home = Layer.unwrap(
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "mosaic-test-"))),
      removeDirectory
    ),
    (path) => ConfigProvider.layer(ConfigProvider.fromEnv({ env: { MOSAIC_HOME: path } }))
  )
)

/** The embedded PostgreSQL in a home of its own, migrated and empty. */
export const databaseOfItsOwn = Database.layer.pipe(Layer.provide(home))
