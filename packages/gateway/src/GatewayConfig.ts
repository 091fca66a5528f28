/**
 * Where this gateway keeps its state: the tier, and the services that the tier shares, from the environment and the
 * configuration file, each with its source. It is read and checked once; nothing is connected to here.
 */
import { stat } from "node:fs/promises"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { ConfigInvalid, TierIncomplete } from "@mosaic-federation/domain/ConfigurationErrors"
import { databaseUrlForm, parseDatabaseUrl } from "@mosaic-federation/issuance/DatabaseUrl"
import {
  optionalSetting,
  readSettingFile,
  sourcedSetting,
  type Sourced
} from "@mosaic-federation/issuance/Setting"
import { Context, Effect, FileSystem, Layer, Option, Redacted, Result } from "effect"
import { type ConfigFile, configFileName, parseConfigFile, type Placed } from "./ConfigFile.ts"
import { parseQueueUrl, queueUrlForm } from "./QueueUrl.ts"
import type { Tier } from "./Tier.ts"

export interface GatewaySettings {
  readonly tier: Tier
  /** `mosaic.config.json:tier`, or the reason for a tier that nobody named. */
  readonly tierSource: string
  /** The path of the configuration file as it was named or found, null where there is none. */
  readonly file: string | null
  /** A libpq URI; null for the embedded PostgreSQL. The source is `DATABASE_URL` or `mosaic.config.json:database`. */
  readonly database: Sourced<Redacted.Redacted> | null
  /** A `redis` or `rediss` URL; null for the queue within the process. */
  readonly queue: Sourced<Redacted.Redacted> | null
}

/** The file to be read, and who named it. */
interface Named {
  readonly source: string
  readonly path: string
}

const findFile = Effect.fnUntraced(function* (option: Option.Option<string>) {
  if (Option.isSome(option)) return Option.some<Named>({ source: "--config", path: option.value })
  const variable = yield* optionalSetting("MOSAIC_CONFIG")
  if (Option.isSome(variable)) return Option.some<Named>({ source: "MOSAIC_CONFIG", path: variable.value })
  const fs = yield* FileSystem.FileSystem
  const exists = yield* Effect.orElseSucceed(fs.exists(configFileName), () => true)
  return exists
    ? Option.some<Named>({ source: "the working directory", path: configFileName })
    : Option.none<Named>()
})

const hasPassword = ({ database, queue }: ConfigFile): boolean =>
  [database, queue].some((one) => {
    const url = one === null ? null : URL.parse(Redacted.value(one.value))
    return url !== null && (url.password !== "" || url.searchParams.has("password"))
  })

/** POSIX: read permission of the group and of others. */
const readByOthers = 0o044

const warnIfExposed = Effect.fnUntraced(function* (file: ConfigFile) {
  if (process.platform === "win32" || !hasPassword(file)) return
  const { mode } = yield* Effect.promise(() => stat(file.path))
  if ((mode & readByOthers) !== 0) {
    yield* Effect.logWarning(
      `${file.path} holds a password and can be read by other users: chmod 600 ${file.path}`
    )
  }
})

const readFile = Effect.fnUntraced(function* ({ path, source }: Named) {
  const text = yield* readSettingFile(source, path)
  const file = yield* Effect.fromResult(parseConfigFile(path, text))
  yield* warnIfExposed(file)
  return file
})

/** The variable, else the key of the file. */
const readService = Effect.fnUntraced(function* (
  variable: string,
  key: string,
  placed: Placed<Redacted.Redacted> | null,
  check: (text: Redacted.Redacted) => Result.Result<unknown, string>,
  expects: string
) {
  const given = yield* sourcedSetting(variable)
  if (Option.isNone(given)) {
    return placed === null ? null : { value: placed.value, source: `${placed.place.path}:${key}` }
  }
  const value = Redacted.make(given.value.value)
  const { source } = given.value
  yield* Effect.fromResult(
    Result.mapError(check(value), (problem) => new ConfigInvalid({ variable: source, problem, expects }))
  )
  return { value, source }
})

const services = {
  database: { variable: "DATABASE_URL", expects: databaseUrlForm },
  queue: { variable: "REDIS_URL", expects: queueUrlForm }
} as const

const read = Effect.fnUntraced(function* (option: Option.Option<string>) {
  const named = yield* findFile(option)
  const file = Option.isSome(named) ? yield* readFile(named.value) : null
  const database = yield* readService(
    "DATABASE_URL",
    "database",
    file?.database ?? null,
    parseDatabaseUrl,
    databaseUrlForm
  )
  const queue = yield* readService("REDIS_URL", "queue", file?.queue ?? null, parseQueueUrl, queueUrlForm)
  if (file === null) {
    const federated = database !== null && queue !== null
    return {
      tier: federated ? "federated" : "local",
      tierSource: federated ? `${database.source} and ${queue.source}` : "default",
      file,
      database,
      queue
    } satisfies GatewaySettings
  }
  const { place, value: tier } = file.tier
  for (const [key, service] of [
    ["database", database],
    ["queue", queue]
  ] as const) {
    if (tier === "federated" && service === null) {
      return yield* new TierIncomplete({ ...place, tier, key, ...services[key] })
    }
  }
  return { tier, tierSource: `${file.path}:tier`, file: file.path, database, queue } satisfies GatewaySettings
})

export class GatewayConfig extends Context.Service<GatewayConfig, GatewaySettings>()(
  "@mosaic-federation/gateway/GatewayConfig"
) {
  /**
   * `config` is the path that the command line names; else `MOSAIC_CONFIG`, else `mosaic.config.json` in the working
   * directory, where there is one. `DATABASE_URL` and `REDIS_URL` (or their `_FILE`) override the file.
   */
  static readonly layer = ({ config }: { readonly config: Option.Option<string> }) =>
    Layer.effect(GatewayConfig, read(config)).pipe(Layer.provide(NodeFileSystem.layer))

  /** For programs that hold their settings elsewhere. */
  static readonly layerOf = (settings: GatewaySettings) =>
    Layer.succeed(GatewayConfig, GatewayConfig.of(settings))
}
