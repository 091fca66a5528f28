/**
 * Makes the public storage errors of what the driver reports. It goes by SQLSTATE and the driver's tags, never by the
 * wording, and repeats only the server's or the system's own sentence: no statement, no parameter, no address with a
 * password in it.
 */
import { StorageFailed, StorageUnavailable } from "@mosaic-federation/domain/StorageErrors"
import type { SqlError } from "effect/sql/SqlError"

/** The SQLSTATE or the system's error code (ECONNREFUSED) behind a driver's error. */
export const codeOf = (error: SqlError): string | undefined => {
  const { cause } = error.reason
  if (typeof cause !== "object" || cause === null || !("code" in cause)) return undefined
  return typeof cause.code === "string" ? cause.code : undefined
}

// PostgreSQL Appendix A: 57P01 to 57P05 admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped,
// idle_session_timeout; 53300 too_many_connections; class 08 and 28 have tags of their own.
const away = new Set(["57P01", "57P02", "57P03", "57P04", "57P05", "53300"])

const sentence = (error: SqlError): string => {
  const { cause } = error.reason
  if (!(cause instanceof Error)) return error.reason.message
  // Node reports one error for each address of a name that was tried, and none for all.
  if (cause instanceof AggregateError && cause.message === "") {
    return cause.errors.map((one: unknown) => (one instanceof Error ? one.message : String(one))).join("; ")
  }
  return cause.message
}

const reasonOf = (error: SqlError): string => {
  const code = codeOf(error)
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code)
    ? `${sentence(error)} (SQLSTATE ${code})`
    : sentence(error)
}

export const storageError =
  (operation: string) =>
  (error: SqlError): StorageUnavailable | StorageFailed => {
    const fields = { operation, reason: reasonOf(error) }
    const tag = error.reason._tag
    const unreachable =
      tag === "ConnectionError" ||
      tag === "AuthenticationError" ||
      error.reason.operation === "connect" ||
      away.has(codeOf(error) ?? "")
    return unreachable ? new StorageUnavailable(fields) : new StorageFailed(fields)
  }
