/**
 * Every setting of the server, read and checked once at its start: where it listens and under which names, what it
 * trusts, and what it allows. What it takes to issue is `IssuanceConfig`, where the records lie is `GatewayConfig`.
 */
import { BlockList, isIP } from "node:net"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { ConfigInvalid } from "@mosaic-federation/domain/ConfigurationErrors"
import { parseLifetime } from "@mosaic-federation/domain/Lifetime"
import { optionalSetting, type SettingError } from "@mosaic-federation/issuance/Setting"
import { Context, Duration, Effect, type FileSystem, Layer, Option } from "effect"
import type { RateLimit } from "../RateLimits.ts"

export interface ListenAddress {
  /** An IP address, or a name that leads to one. */
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
}

export interface ServerSettings {
  readonly listen: ListenAddress
  /** Serves HTTP without TLS. */
  readonly plainHttp: boolean
  /** Who may say for whom it asks, by X-Forwarded-For. */
  readonly trustedProxies: Option.Option<BlockList>
  /** Where peers reach the gateway, where that is not where it listens. */
  readonly publicUrl: Option.Option<URL>
  /** The names of its TLS certificate; the first is its common name. */
  readonly names: ReadonlyArray<string>
  /** Where metrics are open to whoever reaches it; loopback only. */
  readonly metricsListen: Option.Option<ListenAddress>
  readonly maxBodyBytes: number
  readonly requestTimeout: Duration.Duration
  readonly maxConcurrency: number
  readonly perKey: RateLimit
  readonly perGrant: RateLimit
  readonly perAddress: RateLimit
  /** Between the moment when readiness says no and the one when nothing more is accepted. */
  readonly drainDelay: Duration.Duration
  /** How long requests in flight may take after that. */
  readonly drainTimeout: Duration.Duration
}

/** What holds where a setting is not given. */
export const serverDefaults = {
  MOSAIC_LISTEN: "127.0.0.1:8443",
  MOSAIC_PLAIN_HTTP: "false",
  MOSAIC_GATEWAY_NAMES: "localhost,127.0.0.1",
  MOSAIC_MAX_BODY: "65536",
  MOSAIC_REQUEST_TIMEOUT: "30s",
  MOSAIC_MAX_CONCURRENCY: "256",
  MOSAIC_RATE_PER_KEY: "6000/1m",
  MOSAIC_RATE_PER_GRANT: "60/1m",
  MOSAIC_RATE_PER_ADDRESS: "6000/1m",
  MOSAIC_DRAIN_DELAY: "1s",
  MOSAIC_DRAIN_TIMEOUT: "25s"
} as const

type Defaulted = keyof typeof serverDefaults

const read = Effect.fnUntraced(function* (variable: Defaulted) {
  return Option.getOrElse(yield* optionalSetting(variable), (): string => serverDefaults[variable])
})

const invalid = (variable: string, problem: string, expects: string) =>
  Effect.fail(new ConfigInvalid({ variable, problem, expects }))

const parseAddress = (text: string): Option.Option<ListenAddress> => {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text)
  if (match === null) return Option.none()
  const [, v6, name, digits] = match
  const host = v6 ?? name ?? ""
  const port = Number(digits)
  if (port > 65_535 || (v6 !== undefined && isIP(v6) !== 6)) return Option.none()
  return Option.some({ host, port })
}

/** RFC 1122 §3.2.1.3, RFC 4291 §2.5.3. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))

const addressForm = "an address and a port, such as 127.0.0.1:8443 or [::1]:8443"

const readAddress = (variable: string, text: string) =>
  Option.match(parseAddress(text), {
    onNone: () => invalid(variable, `${JSON.stringify(text)} is not an address and a port`, addressForm),
    onSome: Effect.succeed
  })

const readFlag = Effect.fnUntraced(function* (variable: Defaulted) {
  const text = yield* read(variable)
  if (text === "true" || text === "false") return text === "true"
  return yield* invalid(variable, `${JSON.stringify(text)} is neither true nor false`, "true or false")
})

const readCount = Effect.fnUntraced(function* (variable: Defaulted, most: number) {
  const text = yield* read(variable)
  const count = Number(text)
  if (/^[1-9]\d*$/.test(text) && count <= most) return count
  return yield* invalid(
    variable,
    `${JSON.stringify(text)} is not such a number`,
    `a whole number from 1 to ${most}`
  )
})

const readDuration = Effect.fnUntraced(function* (variable: Defaulted) {
  const text = yield* read(variable)
  if (text === "0s") return Duration.zero
  return yield* Option.match(parseLifetime(text), {
    onNone: () =>
      invalid(variable, `${JSON.stringify(text)} is not a duration`, "a duration such as 30s or 1m30s"),
    onSome: Effect.succeed
  })
})

const readRate = Effect.fnUntraced(function* (variable: Defaulted, name: string) {
  const text = yield* read(variable)
  const [, count, period = ""] = /^([1-9]\d{0,8})\/(\w+)$/.exec(text) ?? []
  const window = parseLifetime(period)
  if (count === undefined || Option.isNone(window)) {
    return yield* invalid(
      variable,
      `${JSON.stringify(text)} is not a rate`,
      "a count and a period, such as 600/1m"
    )
  }
  return { name, limit: Number(count), window: window.value } satisfies RateLimit
})

const readProxies = Effect.gen(function* () {
  const variable = "MOSAIC_TRUSTED_PROXIES"
  const text = yield* optionalSetting(variable)
  if (Option.isNone(text)) return Option.none<BlockList>()
  const list = new BlockList()
  for (const entry of text.value.split(",").map((one) => one.trim())) {
    const [address = "", prefix] = entry.split("/")
    const version = isIP(address)
    const most = version === 6 ? 128 : 32
    const bits = prefix === undefined ? most : Number(prefix)
    if (version === 0 || (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) || bits > most) {
      return yield* invalid(
        variable,
        `${JSON.stringify(entry)} is not an IP address or network`,
        "a comma list of addresses and networks, such as 10.0.0.0/8,::1"
      )
    }
    list.addSubnet(address, bits, version === 6 ? "ipv6" : "ipv4")
  }
  return Option.some(list)
})

const readPublicUrl = Effect.gen(function* () {
  const variable = "MOSAIC_PUBLIC_URL"
  const text = yield* optionalSetting(variable)
  if (Option.isNone(text)) return Option.none<URL>()
  const url = URL.parse(text.value)
  if (url?.protocol !== "https:" || url.pathname !== "/" || url.search !== "" || url.username !== "") {
    return yield* invalid(
      variable,
      "it is not the origin of an https URL",
      "scheme, host and port by which peers reach the gateway, such as https://gateway.example:8443"
    )
  }
  return Option.some(url)
})

const readNames = Effect.gen(function* () {
  const variable = "MOSAIC_GATEWAY_NAMES"
  const names = (yield* read(variable)).split(",").map((name) => name.trim())
  const wrong = names.find((name) => isIP(name) === 0 && !/^[a-z0-9](?:[a-z0-9.-]{0,252})$/.test(name))
  if (wrong !== undefined) {
    return yield* invalid(
      variable,
      `${JSON.stringify(wrong)} is neither a host name nor an IP address`,
      "the comma list that the CA was set up with, such as gateway.example,10.0.0.7"
    )
  }
  return names
})

const readMetricsListen = Effect.gen(function* () {
  const variable = "MOSAIC_METRICS_LISTEN"
  const text = yield* optionalSetting(variable)
  if (Option.isNone(text)) return Option.none<ListenAddress>()
  const address = yield* readAddress(variable, text.value)
  if (isLoopback(address.host)) return Option.some(address)
  return yield* invalid(
    variable,
    `${address.host} is not a loopback address, and nobody is asked for a key there`,
    "a loopback address and a port, such as 127.0.0.1:9464; elsewhere use GET /metrics with a read key"
  )
})

export class ServerConfig extends Context.Service<ServerConfig, ServerSettings>()(
  "@mosaic-federation/gateway/ServerConfig"
) {
  /** `listen` is what the command line says, in place of `MOSAIC_LISTEN`. */
  static readonly layer = ({ listen }: { readonly listen: Option.Option<string> }) =>
    Layer.effect(
      ServerConfig,
      Effect.gen(function* (): Effect.fn.Return<ServerSettings, SettingError, FileSystem.FileSystem> {
        const address = Option.isSome(listen)
          ? yield* readAddress("--listen", listen.value)
          : yield* readAddress("MOSAIC_LISTEN", yield* read("MOSAIC_LISTEN"))
        const plainHttp = yield* readFlag("MOSAIC_PLAIN_HTTP")
        const trustedProxies = yield* readProxies
        if (plainHttp && !isLoopback(address.host) && Option.isNone(trustedProxies)) {
          return yield* invalid(
            "MOSAIC_PLAIN_HTTP",
            `it would send secrets without TLS over ${address.host}`,
            "false; or a loopback address in MOSAIC_LISTEN; or the proxy that ends TLS in MOSAIC_TRUSTED_PROXIES"
          )
        }
        return {
          listen: address,
          plainHttp,
          trustedProxies,
          publicUrl: yield* readPublicUrl,
          names: yield* readNames,
          metricsListen: yield* readMetricsListen,
          maxBodyBytes: yield* readCount("MOSAIC_MAX_BODY", 16 * 1024 * 1024),
          requestTimeout: yield* readDuration("MOSAIC_REQUEST_TIMEOUT"),
          maxConcurrency: yield* readCount("MOSAIC_MAX_CONCURRENCY", 1_000_000),
          perKey: yield* readRate("MOSAIC_RATE_PER_KEY", "per-key"),
          perGrant: yield* readRate("MOSAIC_RATE_PER_GRANT", "per-grant"),
          perAddress: yield* readRate("MOSAIC_RATE_PER_ADDRESS", "per-address"),
          drainDelay: yield* readDuration("MOSAIC_DRAIN_DELAY"),
          drainTimeout: yield* readDuration("MOSAIC_DRAIN_TIMEOUT")
        }
      })
    ).pipe(Layer.provide(NodeFileSystem.layer))
}
