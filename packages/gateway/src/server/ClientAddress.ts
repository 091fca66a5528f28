/** The address of whoever asks: of the connection, or, where that is a trusted proxy's, what the proxy says. */
import { type BlockList, isIP } from "node:net"
import { Option } from "effect"
import type { HttpServerRequest } from "effect/http"

/** An IPv4 address that came in by an IPv6 socket (RFC 4291 §2.5.5.2) is the IPv4 address. */
const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, "")

const isTrusted = (proxies: BlockList, address: string) => {
  const version = isIP(address)
  return version !== 0 && proxies.check(address, version === 6 ? "ipv6" : "ipv4")
}

/** Of the connection itself. */
const connectionAddress = ({ remoteAddress }: HttpServerRequest.HttpServerRequest): string =>
  plain(Option.getOrElse(remoteAddress, () => "unknown"))

/** The address of the connection, where it is none of these proxies'. */
export const bypassing = (
  request: HttpServerRequest.HttpServerRequest,
  proxies: BlockList
): Option.Option<string> => {
  const address = connectionAddress(request)
  return isTrusted(proxies, address) ? Option.none() : Option.some(address)
}

/** X-Forwarded-For is read from its end, for its beginning is what anybody may have sent to the first proxy. */
export const clientAddress = (
  request: HttpServerRequest.HttpServerRequest,
  trustedProxies: Option.Option<BlockList>
): string => {
  let address = connectionAddress(request)
  if (Option.isNone(trustedProxies)) return address
  const said = (request.headers["x-forwarded-for"] ?? "").split(",").map((one) => plain(one.trim()))
  while (isTrusted(trustedProxies.value, address)) {
    const before = said.pop()
    if (before === undefined || isIP(before) === 0) break
    address = before
  }
  return address
}

/** As RFC 5952 writes it, without a zone. */
const groupsOf = (address: string): ReadonlyArray<string> => {
  const canonical = new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname.slice(1, -1)
  const [head = [], tail] = canonical.split("::").map((half) => (half === "" ? [] : half.split(":")))
  if (tail === undefined) return [...head]
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => "0"), ...tail]
}

/** By what addresses are counted: whoever has one IPv6 address has its whole /64 (RFC 4291 §2.5.4) to come from. */
export const clientNetwork = (address: string): string =>
  isIP(address) === 6 ? `${groupsOf(address).slice(0, 4).join(":")}::/64` : address
