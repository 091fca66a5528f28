/**
 * Every setting of the issuance program, read and checked once when the layer is built: a wrong one fails the start
 * with its variable's name and what to put there, never a later request.
 */
import {
  ConfigInvalid,
  RootCertificateExpired,
  RootCertificateRefused,
  type ConfigMissing
} from "@mosaic-federation/domain/ConfigurationErrors"
import { parseLifetime } from "@mosaic-federation/domain/Lifetime"
import type { Certificate } from "@mosaic-federation/x509/Certificate"
import { type GrantOids, grantOids, mosaicArc } from "@mosaic-federation/x509/Oid"
import { parseRootBundle } from "@mosaic-federation/x509/RootBundle"
import { NodeFileSystem } from "@effect/platform-node"
import { Context, DateTime, Duration, Effect, Layer, Option, Redacted, Result } from "effect"
import { type ProvisionerKey, type ProvisionerKeyError, readProvisionerKey } from "./ProvisionerKey.ts"
import { optionalSetting, readSettingFile, requiredSetting, type SettingError } from "./Setting.ts"

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

export type IssuanceConfigError =
  | SettingError
  | ConfigMissing
  | ProvisionerKeyError
  | RootCertificateRefused
  | RootCertificateExpired

const urlForm = "the CA's https URL: scheme, host and port, such as https://ca.example:9000"

const readCaUrl = Effect.gen(function* () {
  const variable = "STEP_CA_URL"
  const text = yield* requiredSetting(variable, urlForm)
  const invalid = (problem: string) => new ConfigInvalid({ variable, problem, expects: urlForm })
  const url = URL.parse(text)
  if (url === null) return yield* invalid("it is not a URL")
  if (url.protocol !== "https:")
    return yield* invalid(`the scheme is ${url.protocol.slice(0, -1)}, only https is accepted`)
  if (url.username !== "" || url.password !== "") return yield* invalid("it holds a user name or password")
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    return yield* invalid("it has a path, a query or a fragment")
  return url
})

const readRoots = Effect.gen(function* () {
  const variable = "STEP_CA_ROOT_CERT_PATH"
  const path = yield* requiredSetting(variable, "the path of a PEM file with the CA's root certificate")
  if (path.includes("-----BEGIN")) {
    return yield* new ConfigInvalid({
      variable,
      problem: "it holds a certificate",
      expects: "the path of the file that holds the certificate"
    })
  }
  const pem = yield* readSettingFile(variable, path)
  const now = yield* DateTime.now
  return yield* Result.match(parseRootBundle(pem, DateTime.toDateUtc(now)), {
    onSuccess: Effect.succeed,
    onFailure: (fault) =>
      Effect.fail(
        fault._tag === "Expired"
          ? new RootCertificateExpired({
              path,
              subject: fault.subject,
              notAfter: DateTime.fromDateUnsafe(fault.notAfter)
            })
          : new RootCertificateRefused({ path, problem: fault.message })
      )
  })
})

const readDuration = Effect.fnUntraced(function* (variable: string, fallback: string) {
  const text = Option.getOrElse(yield* optionalSetting(variable), () => fallback)
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

const readLifetimes = Effect.gen(function* () {
  const shortest = yield* readDuration("MOSAIC_CERT_MIN", "5m")
  const longest = yield* readDuration("MOSAIC_CERT_MAX", "24h")
  const standard = yield* readDuration("MOSAIC_CERT_DEFAULT", "24h")
  if (!Duration.between(standard, { minimum: shortest, maximum: longest })) {
    return yield* new ConfigInvalid({
      variable: "MOSAIC_CERT_DEFAULT",
      problem: "it does not lie between MOSAIC_CERT_MIN and MOSAIC_CERT_MAX",
      expects: "a duration between MOSAIC_CERT_MIN and MOSAIC_CERT_MAX"
    })
  }
  return { shortest, standard, longest } satisfies Lifetimes
})

const readOids = Effect.gen(function* () {
  const variable = "MOSAIC_OID_ARC"
  const arc = Option.getOrElse(yield* optionalSetting(variable), () => mosaicArc)
  return yield* Effect.fromResult(
    Result.mapError(
      grantOids(arc),
      () =>
        new ConfigInvalid({
          variable,
          problem: `${JSON.stringify(arc)} is not an object identifier`,
          expects: "the dotted form of your arc, such as 1.3.6.1.4.1.<your IANA PEN>.1"
        })
    )
  )
})

const readFlag = Effect.fnUntraced(function* (variable: string) {
  const text = Option.getOrElse(yield* optionalSetting(variable), () => "false")
  if (text === "true" || text === "false") return text === "true"
  return yield* new ConfigInvalid({
    variable,
    problem: `${JSON.stringify(text)} is neither true nor false`,
    expects: "true or false"
  })
})

const readKey = Effect.gen(function* () {
  const key = yield* requiredSetting(
    "STEP_CA_PROVISIONER_KEY_JSON",
    "the provisioner's private JWK, or the JWE that step ca init writes"
  )
  const password = yield* requiredSetting(
    "STEP_CA_PROVISIONER_PASSWORD",
    "the password of the provisioner key (any text when the key is a plain JWK)"
  )
  return yield* readProvisionerKey({
    text: Redacted.make(key),
    password: Redacted.make(password),
    kid: yield* optionalSetting("STEP_CA_PROVISIONER_KID"),
    allowSymmetric: yield* readFlag("STEP_CA_ALLOW_SYMMETRIC_KEY")
  })
})

export class IssuanceConfig extends Context.Service<IssuanceConfig, IssuanceSettings>()(
  "@mosaic-federation/issuance/IssuanceConfig"
) {
  /** Reads the environment through the current `ConfigProvider` and files through `FileSystem`. */
  static readonly layerNoDeps = Layer.effect(
    IssuanceConfig,
    Effect.gen(function* () {
      return IssuanceConfig.of({
        caUrl: yield* readCaUrl,
        provisioner: Option.getOrElse(yield* optionalSetting("STEP_CA_PROVISIONER"), () => "mosaic-fed"),
        roots: yield* readRoots,
        provisionerKey: yield* readKey,
        oids: yield* readOids,
        lifetimes: yield* readLifetimes,
        connectTimeout: yield* readDuration("STEP_CA_CONNECT_TIMEOUT", "2s"),
        totalTimeout: yield* readDuration("STEP_CA_TIMEOUT", "10s")
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(NodeFileSystem.layer))

  /** For services that hold their settings elsewhere. */
  static readonly layerOf = (settings: IssuanceSettings) =>
    Layer.succeed(IssuanceConfig, IssuanceConfig.of(settings))
}
