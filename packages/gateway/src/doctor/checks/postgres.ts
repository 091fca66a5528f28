/** PostgreSQL answers a query, to the user and on the database that the settings name, and takes writes. */
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { serverFacts } from "@mosaic-federation/issuance/DatabaseReport"
import type { SettingError } from "@mosaic-federation/issuance/Setting"
import { Effect, Redacted } from "effect"
import type { GatewaySettings } from "../../GatewayConfig.ts"
import { type Check, failed, failedBy, type Remedy, remedy } from "../Check.ts"
import { upCommand } from "../compose.ts"
import { Subject } from "../Subject.ts"

interface Address {
  readonly host: string
  readonly port: string
  readonly user: string
  readonly database: string
}

/** As libpq reads it: the parameters go before the rest; a host that begins with a slash is a directory. */
const addressOf = ({ database }: GatewaySettings): Address | null => {
  if (database === null) return null
  const text = Redacted.value(database.value)
  const url = URL.parse(text.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=[/?#]|$)/i, "$1localhost"))
  if (url === null) return null
  const parameter = (name: string) => url.searchParams.get(name)
  return {
    host: parameter("host") ?? (url.hostname === "" ? "localhost" : url.hostname),
    port: parameter("port") ?? (url.port === "" ? "5432" : url.port),
    user: parameter("user") ?? decodeURIComponent(url.username),
    database: parameter("dbname") ?? decodeURIComponent(url.pathname.slice(1))
  }
}

const detail = ({ settings }: Subject["Service"]): string => {
  const address = addressOf(settings)
  if (address === null) return "(embedded)"
  return address.host.startsWith("/") ? address.host : `${address.host}:${address.port}`
}

const showSettings = "mosaic config show"

const options = ({ host, port, user }: Address) => `-h ${host} -p ${port}${user === "" ? "" : ` -U ${user}`}`

/** Depends on how it failed: a login that is refused is none the better for a start of the server. */
const remedyFor = (reason: string, { settings }: Subject["Service"]): Remedy => {
  const address = addressOf(settings)
  const source = settings.database?.source ?? "MOSAIC_HOME"
  if (address === null) {
    return remedy("read postgres.log under MOSAIC_HOME; which one that is", showSettings)
  }
  if (/SQLSTATE 28/.test(reason)) {
    return remedy(
      `put the user and the password that the server knows into ${source}; to see what holds now`,
      showSettings
    )
  }
  if (reason.includes("SQLSTATE 3D000")) {
    return remedy(
      `make the database that ${source} names`,
      `createdb ${options(address)} ${address.database}`
    )
  }
  return settings.tier === "federated"
    ? remedy(`start the server, or correct ${source}`, upCommand("postgres-federated"))
    : remedy(`start the server that ${source} names, and try it`, `pg_isready ${options(address)}`)
}

const isReason = (
  error: StorageError | SettingError
): error is Extract<StorageError, { readonly reason: string }> =>
  error._tag === "StorageUnavailable" || error._tag === "StorageFailed"

export const postgres: Check = {
  id: "postgres",
  name: "postgres",
  needs: [],
  detail,
  // The first start of the embedded server makes its cluster.
  isOwnWork: ({ settings }) => settings.database === null,
  ifSilent: ({ settings }) => {
    const address = addressOf(settings)
    return address === null
      ? remedy(
          "the first start makes the cluster, which takes a busy machine longer: give it more time, and read postgres.log under MOSAIC_HOME if that does not help",
          "mosaic gateway doctor --timeout 60s"
        )
      : remedy(
          "see whether PostgreSQL is what listens there, and is not overloaded",
          `pg_isready ${options(address)}`
        )
  },
  run: () =>
    Effect.gen(function* () {
      const subject = yield* Subject
      const refused = (error: StorageError | SettingError) => {
        if (!isReason(error)) return failedBy(error, showSettings)
        const { code, message, reason } = error
        return failed({ code, problem: message, remedy: remedyFor(reason, subject) })
      }
      const services = yield* Effect.mapError(subject.database, refused)
      const { database, readonly, user, version } = yield* Effect.mapError(
        Effect.provide(serverFacts, services),
        refused
      )
      const evidence = { version, user, database, source: subject.settings.database?.source ?? "default" }
      if (readonly) {
        return yield* failed({
          code: "STORAGE_READ_ONLY",
          problem: `the server of ${database} is a standby, which takes no writes`,
          remedy: remedy(`name the primary in ${evidence.source}; to see what holds now`, showSettings),
          evidence
        })
      }
      return { evidence }
    })
}
