/**
 * A service's URL for people's eyes: the password masked, and of the parameters only those that are known to hold no
 * secret. It is put together from the parts that were understood, so that nothing misread can slip through.
 */
import { Redacted } from "effect"

const mask = "****"

/** Parameters of libpq that tell where and how, never with what secret. */
const plain = new Set([
  "application_name",
  "connect_timeout",
  "dbname",
  "host",
  "port",
  "sslcert",
  "sslkey",
  "sslmode",
  "sslrootcert",
  "user"
])

export const shownUrl = (given: Redacted.Redacted): string => {
  const text = Redacted.value(given)
  // To URL a user without a host is an error, to libpq it is a Unix socket.
  const hostless = /^(postgres(?:ql)?:\/\/[^/?#]*@)(?=[/?#]|$)/i
  const url = URL.parse(text.replace(hostless, "$1localhost"))
  if (url === null) return mask
  const login = `${url.username}${url.password === "" ? "" : `:${mask}`}`
  const host = hostless.test(text) ? "" : url.host
  const parameters = [...url.searchParams].map(([name, value]) =>
    plain.has(name) ? `${name}=${value}` : name === "password" ? `password=${mask}` : mask
  )
  return [
    `${url.protocol}//`,
    login === "" ? "" : `${login}@`,
    host,
    url.pathname,
    parameters.length === 0 ? "" : `?${parameters.join("&")}`
  ].join("")
}
