/**
 * Reads the URL of the Valkey (or Redis) that replicas share, as IANA registers the schemes `redis` and `rediss`. What
 * is asked of that server is left to others.
 */
import { Redacted, Result } from "effect"

/** What is to be put where a URL is wrong. */
export const queueUrlForm = "redis://:PASSWORD@HOST:6380, or rediss://:PASSWORD@HOST:6380 over a network"

const parameters = new Set(["sslrootcert"])

const decodes = (text: string): boolean => {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

const host = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1")

export interface QueueAddress {
  readonly host: string
  readonly port: number
  readonly tls: boolean
  /** Path of a PEM file whose certificates alone are trusted; null for the roots of the system. */
  readonly rootCertificate: string | null
  readonly username: string | null
  readonly password: Redacted.Redacted | null
  readonly database: number
}

/** Or in one sentence what is wrong; nothing of the URL is repeated in it. */
export const parseQueueUrl = (given: Redacted.Redacted): Result.Result<QueueAddress, string> => {
  const url = URL.parse(Redacted.value(given))
  if (url === null) return Result.fail("it is not a URL")
  const scheme = url.protocol.slice(0, -1)
  if (scheme !== "redis" && scheme !== "rediss")
    return Result.fail(`the scheme is ${scheme}, not redis or rediss`)
  if (url.hostname === "") return Result.fail("it names no host")
  if (![url.username, url.password].every(decodes)) {
    return Result.fail("a percent sign is not followed by two hexadecimal digits; write a literal one as %25")
  }
  if (!/^\/?$|^\/\d{1,5}$/.test(url.pathname))
    return Result.fail("its path is not the number of a database; write a / in a password as %2F")
  if (url.hash !== "") return Result.fail("it has a fragment; write a # in a password as %23")
  const unknown = [...url.searchParams.keys()].find((name) => !parameters.has(name))
  if (unknown !== undefined)
    return Result.fail("it has a parameter that is not known; the only one is sslrootcert")
  const root = url.searchParams.get("sslrootcert")
  if (root !== null && scheme === "redis")
    return Result.fail("sslrootcert needs TLS, and the scheme is redis")
  return Result.succeed({
    host: host(url),
    port: url.port === "" ? 6379 : Number(url.port),
    tls: scheme === "rediss",
    rootCertificate: root === "" || root === "system" ? null : root,
    username: url.username === "" ? null : decodeURIComponent(url.username),
    password: url.password === "" ? null : Redacted.make(decodeURIComponent(url.password)),
    database: Number(url.pathname.slice(1))
  })
}
