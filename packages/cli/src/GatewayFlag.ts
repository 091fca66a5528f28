/**
 * `--gateway`: the gateway that a command asks, instead of acting on the database itself, with the key and the root that
 * go with it. A key is never an option: it would be in the list of processes.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { ConfigInvalid, ConfigMissing } from "@mosaic-federation/domain/ConfigurationErrors"
import { Effect, Option, Redacted } from "effect"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { optional } from "./flags.ts"

const GatewayUrl = GlobalFlag.Setting("gateway")({
  flag: Flag.String("gateway").pipe(
    Flag.withMetavar("<url>"),
    Flag.withDescription(
      "Act on this gateway; by default MOSAIC_GATEWAY_URL, else on the database itself. Its key is in MOSAIC_API_KEY or MOSAIC_API_KEY_FILE"
    ),
    optional
  )
})

const GatewayRoot = GlobalFlag.Setting("gateway-root")({
  flag: Flag.String("gateway-root").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription(
      "PEM file with the root by which the gateway is known; by default MOSAIC_GATEWAY_ROOT, else STEP_CA_ROOT_CERT_PATH"
    ),
    optional
  )
})

/** For the nouns that a gateway can be asked about. */
export const gatewayFlags = [GatewayUrl, GatewayRoot] as const

const loadSettings = Effect.promise(() =>
  Promise.all([
    import("@mosaic-federation/issuance/Setting"),
    import("@mosaic-federation/issuance/TrustConfig")
  ])
)

/** A flag or a setting, and which one it is. */
interface Given {
  readonly source: string
  readonly value: string
}

/** The flag, else the first of the settings that is there. */
export const readGiven = Effect.fnUntraced(function* (
  flag: string,
  value: Option.Option<string>,
  variables: ReadonlyArray<string>
) {
  if (Option.isSome(value)) return Option.some<Given>({ source: flag, value: value.value })
  const [{ sourcedSetting }] = yield* loadSettings
  for (const variable of variables) {
    const setting = yield* sourcedSetting(variable)
    if (Option.isSome(setting)) return Option.some<Given>(setting.value)
  }
  return Option.none<Given>()
}, Effect.provide(NodeFileSystem.layer))

const urlForm = "scheme, host and port of the gateway, such as https://gateway.example:8443"

/** The origin of a gateway, as `source` gives it. */
export const parseGatewayUrl = ({ source, value }: Given) => {
  const invalid = (problem: string) =>
    Effect.fail(new ConfigInvalid({ variable: source, problem, expects: urlForm }))
  const url = URL.parse(value)
  if (url === null) return invalid("it is not a URL")
  if (url.username !== "" || url.password !== "") return invalid("it holds a user name or password")
  if (url.protocol !== "https:")
    return invalid(`the scheme is ${url.protocol.slice(0, -1)}, only https is accepted`)
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    return invalid("it has a path, a query or a fragment")
  return Effect.succeed(url)
}

/** The roots by which a gateway is known. */
export const readGatewayRoots = Effect.gen(function* () {
  const variables = ["MOSAIC_GATEWAY_ROOT", "STEP_CA_ROOT_CERT_PATH"]
  const given = yield* readGiven("--gateway-root", yield* GatewayRoot, variables)
  if (Option.isNone(given)) {
    return yield* new ConfigMissing({
      variable: "MOSAIC_GATEWAY_ROOT",
      expects: "the path of a PEM file with the root of the gateway's TLS certificate"
    })
  }
  const [, { readRootFile }] = yield* loadSettings
  return yield* readRootFile(given.value.source, given.value.value)
}).pipe(Effect.provide(NodeFileSystem.layer))

const keyForm = "an API key of that gateway (mosaic gateway key create) or a token of its OIDC issuer"

const readKey = Effect.gen(function* () {
  const [{ sourcedSetting }] = yield* loadSettings
  const variable = "MOSAIC_API_KEY"
  const given = yield* sourcedSetting(variable)
  if (Option.isNone(given)) return yield* new ConfigMissing({ variable, expects: keyForm })
  const { source, value } = given.value
  // RFC 6750 §2.1: what a header can carry.
  if (/^[\x21-\x7e]+$/.test(value)) return Redacted.make(value, { label: "API key" })
  return yield* new ConfigInvalid({
    variable: source,
    problem: "it holds a space, a line break or another character that no key has",
    expects: keyForm
  })
}).pipe(Effect.provide(NodeFileSystem.layer))

const givenUrl = Effect.flatMap(GatewayUrl, (url) => readGiven("--gateway", url, ["MOSAIC_GATEWAY_URL"]))

/** None where the command acts on the database itself. */
export const gatewayTarget = Effect.gen(function* () {
  const given = yield* givenUrl
  if (Option.isNone(given)) return Option.none()
  const url = yield* parseGatewayUrl(given.value)
  const roots = yield* readGatewayRoots
  return Option.some({ url, bearer: yield* readKey, rootsPem: roots.map(({ pem }) => pem) })
})

export const isGatewayNamed = Effect.map(givenUrl, Option.isSome)
