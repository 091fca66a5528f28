/**
 * Reads a libpq connection URI into the driver's settings. The driver reads it too, but late, at the first query, and
 * leaves `sslrootcert`, `sslcert` and `sslkey` out; a wrong URL shall fail the start, without repeating the URL.
 */
import type { ConnectionOptions } from "node:tls"
import { ConfigInvalid } from "@mosaic-federation/domain/ConfigurationErrors"
import { Duration, Effect, Redacted, Result } from "effect"
import { readSettingFile } from "./Setting.ts"

/** What is to be put where a URL is wrong. */
export const databaseUrlForm =
  "postgresql://USER:PASSWORD@HOST:5432/DATABASE, with ?sslmode=verify-full over a network"

const sslModes = new Set(["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])

/** Where these are all that is said, a server without TLS will do. */
const optional = new Set(["allow", "prefer"])

/** libpq's connect_timeout of 0 waits for ever; no command here does. */
const longestConnectSeconds = 60

const isPort = (text: string) => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535

const decodes = (text: string): boolean => {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** libpq reads `user:password@/database?host=/socket/directory`; to URL a user without a host is an error. */
const withHost = (text: string): string =>
  text.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=[/?#]|$)/i, "$1localhost")

/** The URL, or in one sentence what is wrong with it; nothing of it is repeated in the sentence. */
export const parseDatabaseUrl = (given: Redacted.Redacted): Result.Result<URL, string> => {
  const url = URL.parse(withHost(Redacted.value(given)))
  if (url === null) return Result.fail("it is not a URL")
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    return Result.fail(`the scheme is ${url.protocol.slice(0, -1)}, not postgresql`)
  }
  if (![url.hostname, url.username, url.password, url.pathname].every(decodes)) {
    return Result.fail("a percent sign is not followed by two hexadecimal digits; write a literal one as %25")
  }
  if (/[@/]/.test(url.pathname.slice(1))) {
    return Result.fail("its path is not the name of a database; write a / in a password as %2F")
  }
  if (url.hash !== "") return Result.fail("it has a fragment; write a # in a password as %23")
  const port = url.searchParams.get("port")
  if (port !== null && !isPort(port)) return Result.fail("the parameter port is not a port number")
  const sslMode = url.searchParams.get("sslmode")
  if (sslMode !== null && !sslModes.has(sslMode)) {
    return Result.fail(`sslmode is none of ${[...sslModes].join(", ")}`)
  }
  const seconds = url.searchParams.get("connect_timeout")
  if (seconds !== null && !/^\d{1,9}$/.test(seconds)) {
    return Result.fail("connect_timeout is not a number of seconds")
  }
  if (url.searchParams.has("sslcert") !== url.searchParams.has("sslkey")) {
    return Result.fail("sslcert and sslkey go together")
  }
  return Result.succeed(url)
}

/** Settings of the driver for the server that the URL names. `source` says where the URL stands, for the errors. */
export const databaseSettings = Effect.fnUntraced(function* (given: Redacted.Redacted, source: string) {
  const url = yield* Effect.fromResult(
    Result.mapError(
      parseDatabaseUrl(given),
      (problem) => new ConfigInvalid({ variable: source, problem, expects: databaseUrlForm })
    )
  )
  const file = Effect.fnUntraced(function* (parameter: string) {
    const path = url.searchParams.get(parameter)
    return path === null || path === "" ? undefined : yield* readSettingFile(source, path)
  })
  const asked = Number(url.searchParams.get("connect_timeout") ?? 5)
  const connectTimeout = Duration.seconds(
    asked === 0 ? longestConnectSeconds : Math.min(asked, longestConnectSeconds)
  )
  const settings = { url: Redacted.make(withHost(Redacted.value(given))), connectTimeout }
  const mode = url.searchParams.get("sslmode")
  if (mode === "disable") return settings
  // libpq's "system" means the trust store of the system, which is what TLS uses when no other is named.
  const ca = url.searchParams.get("sslrootcert") === "system" ? undefined : yield* file("sslrootcert")
  const cert = yield* file("sslcert")
  const key = yield* file("sslkey")
  if (ca === undefined && cert === undefined && (mode === null || optional.has(mode))) return settings
  const ssl: ConnectionOptions = {
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key })
  }
  return { ...settings, ssl }
})
