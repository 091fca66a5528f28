/** Where peers reach this gateway, as enrollment tokens carry it and proofs of renewal name it. */
import { isIP } from "node:net"
import { Context, Option } from "effect"
import type { ServerSettings } from "./ServerConfig.ts"

export class PublicUrl extends Context.Service<PublicUrl, URL>()("@mosaic-federation/gateway/PublicUrl") {}

/** As it is set, else by the first name of the TLS certificate; `port` is the one that is really listened to. */
export const publicUrlOf = ({ names, publicUrl }: ServerSettings, port: number): URL => {
  const [name = "localhost"] = names
  return Option.getOrElse(
    publicUrl,
    () => new URL(`https://${isIP(name) === 6 ? `[${name}]` : name}:${port}`)
  )
}
