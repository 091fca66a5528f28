/**
 * Every setting of the issuance program, read and checked once when the layer is built: a wrong one fails the start
 * with its variable's name and what to put there, never a later request.
 */
import {
  ConfigInvalid,
  type ConfigMissing,
  type RootCertificateExpired,
  type RootCertificateRefused
} from "@mosaic-federation/domain/ConfigurationErrors"
import { parseLifetime } from "@mosaic-federation/domain/Lifetime"
import type { Certificate } from "@mosaic-federation/x509/Certificate"
import type { GrantOids } from "@mosaic-federation/x509/Oid"
import { NodeFileSystem } from "@effect/platform-node"
import { Context, Duration, Effect, Layer, Option, Redacted } from "effect"
import {
  type ProvisionerKey,
  type ProvisionerKeyError,
  type ProvisionerKeySource,
  readProvisionerKey
} from "./ProvisionerKey.ts"
import { optionalSetting, requiredSetting, type SettingError } from "./Setting.ts"
import { readOids, readRootFile } from "./TrustConfig.ts"

export interface Lifetimes {
  /** The CA's shortest, default and longest certificate: `MOSAIC_CERT_MIN`, `MOSAIC_CERT_DEFAULT`, `MOSAIC_CERT_MAX`. */
  readonly shortest: Duration.Duration
  readonly standard: Duration.Duration
  readonly longest: Duration.Duration
}

export interface IssuanceSettings {
  /** Scheme, host and port of step-ca; always https. */
  readonly caUrl: URL
  readonly provisioner: string
  readonly provisionerKey: ProvisionerKey
  /** What the CA's TLS certificate and every issued chain must lead to. */
  readonly roots: ReadonlyArray<Certificate>
  readonly oids: GrantOids
  readonly lifetimes: Lifetimes
  readonly connectTimeout: Duration.Duration
  readonly totalTimeout: Duration.Duration
}

/** What holds where a setting is not given. */
export const issuanceDefaults = {
  STEP_CA_PROVISIONER: "mosaic-fed",
  STEP_CA_ALLOW_SYMMETRIC_KEY: "false",
  STEP_CA_CONNECT_TIMEOUT: "2s",
  STEP_CA_TIMEOUT: "10s",
  MOSAIC_CERT_MIN: "5m",
  MOSAIC_CERT_DEFAULT: "24h",
  MOSAIC_CERT_MAX: "24h"
} as const

/** The settings without which no certificate can be issued, and what each is. */
export const issuanceRequires = {
  STEP_CA_URL: "the CA's https URL: scheme, host and port, such as https://ca.example:9000",
  STEP_CA_ROOT_CERT_PATH: "the path of a PEM file with the CA's root certificate",
  STEP_CA_PROVISIONER_KEY_JSON: "the provisioner's private JWK, or the JWE that step ca init writes",
  STEP_CA_PROVISIONER_PASSWORD: "the password of the provisioner key (any text when the key is a plain JWK)"
} as const

export const settingOrDefault = Effect.fnUntraced(function* (variable: keyof typeof issuanceDefaults) {
  return Option.getOrElse(yield* optionalSetting(variable), () => issuanceDefaults[variable])
})

const required = (variable: keyof typeof issuanceRequires) =>
  requiredSetting(variable, issuanceRequires[variable])

export type IssuanceConfigError =
  | SettingError
  | ConfigMissing
  | ProvisionerKeyError
  | RootCertificateRefused
  | RootCertificateExpired

export const readCaUrl = Effect.gen(function* () {
  const variable = "STEP_CA_URL"
  const text = yield* required(variable)
  const invalid = (problem: string) =>
    new ConfigInvalid({ variable, problem, expects: issuanceRequires[variable] })
  const url = URL.parse(text)
  if (url === null) return yield* invalid("it is not a URL")
  if (url.protocol !== "https:")
    return yield* invalid(`the scheme is ${url.protocol.slice(0, -1)}, only https is accepted`)
  if (url.username !== "" || url.password !== "") return yield* invalid("it holds a user name or password")
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    return yield* invalid("it has a path, a query or a fragment")
  return url
})

export const readRoots = Effect.gen(function* () {
  const variable = "STEP_CA_ROOT_CERT_PATH"
  const path = yield* required(variable)
  return yield* readRootFile(variable, path)
})

export const readDuration = Effect.fnUntraced(function* (variable: keyof typeof issuanceDefaults) {
  const text = yield* settingOrDefault(variable)
  return yield* Option.match(parseLifetime(text), {
    onSome: Effect.succeed,
    onNone: () =>
      Effect.fail(
        new ConfigInvalid({
          variable,
          problem: `${JSON.stringify(text)} is not a duration`,
          expects: "a duration such as 24h, 90m or 30s"
        })
      )
  })
})

export const readLifetimes = Effect.gen(function* () {
  const shortest = yield* readDuration("MOSAIC_CERT_MIN")
  const longest = yield* readDuration("MOSAIC_CERT_MAX")
  const standard = yield* readDuration("MOSAIC_CERT_DEFAULT")
  if (Duration.isGreaterThan(shortest, longest)) {
    return yield* new ConfigInvalid({
      variable: "MOSAIC_CERT_MIN",
      problem: "it is longer than MOSAIC_CERT_MAX",
      expects: "a duration that is not longer than MOSAIC_CERT_MAX"
    })
  }
  if (!Duration.between(standard, { minimum: shortest, maximum: longest })) {
    return yield* new ConfigInvalid({
      variable: "MOSAIC_CERT_DEFAULT",
      problem: "it does not lie between MOSAIC_CERT_MIN and MOSAIC_CERT_MAX",
      expects: "a duration between MOSAIC_CERT_MIN and MOSAIC_CERT_MAX"
    })
  }
  return { shortest, standard, longest } satisfies Lifetimes
})

const readFlag = Effect.fnUntraced(function* (variable: keyof typeof issuanceDefaults) {
  const text = yield* settingOrDefault(variable)
  if (text === "true" || text === "false") return text === "true"
  return yield* new ConfigInvalid({
    variable,
    problem: `${JSON.stringify(text)} is neither true nor false`,
    expects: "true or false"
  })
})

/** As it is set, not yet opened. */
export const readKeySource = Effect.gen(function* () {
  const key = yield* required("STEP_CA_PROVISIONER_KEY_JSON")
  const password = yield* required("STEP_CA_PROVISIONER_PASSWORD")
  return {
    text: Redacted.make(key),
    password: Redacted.make(password),
    kid: yield* optionalSetting("STEP_CA_PROVISIONER_KID"),
    allowSymmetric: yield* readFlag("STEP_CA_ALLOW_SYMMETRIC_KEY")
  } satisfies ProvisionerKeySource
})

export class IssuanceConfig extends Context.Service<IssuanceConfig, IssuanceSettings>()(
  "@mosaic-federation/issuance/IssuanceConfig"
) {
  /** Reads the environment through the current `ConfigProvider` and files through `FileSystem`. */
  static readonly layerNoDeps = Layer.effect(
    IssuanceConfig,
    Effect.gen(function* () {
      const caUrl = yield* readCaUrl
      const named = yield* settingOrDefault("STEP_CA_PROVISIONER")
      const roots = yield* readRoots
      const provisionerKey = yield* readProvisionerKey(yield* readKeySource)
      return IssuanceConfig.of({
        caUrl,
        // Name and key change together while a key is rotated, in one file.
        provisioner: Option.getOrElse(provisionerKey.provisioner, () => named),
        roots,
        provisionerKey,
        oids: yield* readOids,
        lifetimes: yield* readLifetimes,
        connectTimeout: yield* readDuration("STEP_CA_CONNECT_TIMEOUT"),
        totalTimeout: yield* readDuration("STEP_CA_TIMEOUT")
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(NodeFileSystem.layer))

  /** For services that hold their settings elsewhere. */
  static readonly layerOf = (settings: IssuanceSettings) =>
    Layer.succeed(IssuanceConfig, IssuanceConfig.of(settings))
}
