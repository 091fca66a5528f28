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

/** X-Forwarded-For is read from its end, for its beginning is what anybody may have sent to the first proxy. */
export const clientAddress = (
  request: HttpServerRequest.HttpServerRequest,
  trustedProxies: Option.Option<BlockList>
): string => {
  let address = plain(Option.getOrElse(request.remoteAddress, () => "unknown"))
  if (Option.isNone(trustedProxies)) return address
  const said = (request.headers["x-forwarded-for"] ?? "").split(",").map((one) => plain(one.trim()))
  while (isTrusted(trustedProxies.value, address)) {
    const before = said.pop()
    if (before === undefined || isIP(before) === 0) break
    address = before
  }
  return address
}
