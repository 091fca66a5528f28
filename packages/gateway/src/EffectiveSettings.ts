/**
 * Every setting of the program as it holds now, for people: its value or that it is set, and where it comes from. A
 * secret is never in it. What a setting means is left to docs/configuration.md.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import {
  IssuanceConfig,
  issuanceDefaults,
  issuanceRequires
} from "@mosaic-federation/issuance/IssuanceConfig"
import { mosaicHome } from "@mosaic-federation/issuance/MosaicHome"
import { sourcedSetting } from "@mosaic-federation/issuance/Setting"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { mosaicArc } from "@mosaic-federation/x509/Oid"
import { Effect, Layer, Option } from "effect"
import type { GatewaySettings } from "./GatewayConfig.ts"
import { shownUrl } from "./ShownUrl.ts"

export interface EffectiveSetting {
  readonly name: string
  /** Null where it is not set and has no default. A secret reads `(set, not shown)`; of a URL the password is masked. */
  readonly value: string | null
  /** Null where it is not set and has no default; `default` where it has one. */
  readonly source: string | null
  readonly secret: boolean
}

export interface MissingSetting {
  readonly name: string
  readonly expects: string
}

export interface EffectiveSettings {
  readonly settings: ReadonlyArray<EffectiveSetting>
  /** Without these, no certificate can be issued. */
  readonly missing: ReadonlyArray<MissingSetting>
  /** Why the settings that are there would not do, the first reason; null where they do or one is missing. */
  readonly problem: MosaicError | null
}

const notShown = "(set, not shown)"

const secrets = new Set(["STEP_CA_PROVISIONER_KEY_JSON", "STEP_CA_PROVISIONER_PASSWORD", "MOSAIC_AUDIT_KEY"])

/** Variables in the order in which they are shown, with their defaults. */
const variables: ReadonlyArray<readonly [string, string | null]> = [
  ["STEP_CA_URL", null],
  ["STEP_CA_ROOT_CERT_PATH", null],
  ["STEP_CA_PROVISIONER", issuanceDefaults.STEP_CA_PROVISIONER],
  ["STEP_CA_PROVISIONER_KEY_JSON", null],
  ["STEP_CA_PROVISIONER_PASSWORD", null],
  ["STEP_CA_PROVISIONER_KID", null],
  ["STEP_CA_ALLOW_SYMMETRIC_KEY", issuanceDefaults.STEP_CA_ALLOW_SYMMETRIC_KEY],
  ["STEP_CA_CONNECT_TIMEOUT", issuanceDefaults.STEP_CA_CONNECT_TIMEOUT],
  ["STEP_CA_TIMEOUT", issuanceDefaults.STEP_CA_TIMEOUT],
  ["MOSAIC_CERT_MIN", issuanceDefaults.MOSAIC_CERT_MIN],
  ["MOSAIC_CERT_DEFAULT", issuanceDefaults.MOSAIC_CERT_DEFAULT],
  ["MOSAIC_CERT_MAX", issuanceDefaults.MOSAIC_CERT_MAX],
  ["MOSAIC_OID_ARC", mosaicArc],
  ["MOSAIC_DATABASE_OWNER_URL", null],
  ["MOSAIC_AUDIT_KEY", null],
  ["MOSAIC_AUDIT_TRUST", null],
  ["MOSAIC_LOG_LEVEL", "warn"]
]

/** Who sets a wrong variable may set it to a secret: a key, a password within a URL, the text of a file. */
const shown = (value: string): string => {
  if (/^\s*\{|^eyJ|-----BEGIN|[\r\n]/.test(value) || value.length > 400) return notShown
  return value.replace(/^([a-z][a-z+.-]*:\/\/[^/?#@]*:)[^/?#]*@/i, "$1****@")
}

const readVariable = Effect.fnUntraced(function* (name: string, standard: string | null) {
  const secret = secrets.has(name)
  return Option.match(yield* sourcedSetting(name), {
    onNone: (): EffectiveSetting => ({
      name,
      value: standard,
      source: standard === null ? null : "default",
      secret
    }),
    onSome: ({ source, value }): EffectiveSetting => ({
      name,
      value: secret ? notShown : shown(value),
      source,
      secret
    })
  })
})

const gatewaySettings = (
  { database, queue, tier, tierSource }: GatewaySettings,
  home: string
): ReadonlyArray<EffectiveSetting> => [
  { name: "tier", value: tier, source: tierSource, secret: false },
  {
    name: "database",
    value: database === null ? `embedded PostgreSQL under ${home}` : shownUrl(database.value),
    source: database === null ? "default" : database.source,
    secret: false
  },
  {
    name: "queue",
    value:
      queue === null
        ? "in this process"
        : `${shownUrl(queue.value)}${tier === "local" ? " (not used in the local tier)" : ""}`,
    source: queue === null ? "default" : queue.source,
    secret: false
  }
]

/** What the program would fail with when it is to issue, were it started now. */
const problemOf = IssuanceConfig.use(Effect.succeed).pipe(
  Effect.provide(Layer.fresh(IssuanceConfig.layer)),
  Effect.match({ onSuccess: () => null, onFailure: (error): MosaicError => error })
)

export const effectiveSettings = Effect.fn("EffectiveSettings.effectiveSettings")(function* (
  gateway: GatewaySettings
) {
  const home = yield* mosaicHome
  const homeSource = yield* sourcedSetting("MOSAIC_HOME")
  const read = yield* Effect.forEach(variables, ([name, standard]) => readVariable(name, standard))
  const missing = Object.entries(issuanceRequires)
    .filter(([name]) => read.some((setting) => setting.name === name && setting.value === null))
    .map(([name, expects]): MissingSetting => ({ name, expects }))
  return {
    settings: [
      ...gatewaySettings(gateway, home),
      ...read,
      {
        name: "MOSAIC_HOME",
        value: home,
        source: Option.match(homeSource, { onNone: () => "default", onSome: ({ source }) => source }),
        secret: false
      }
    ],
    missing,
    problem: missing.length > 0 ? null : yield* problemOf
  } satisfies EffectiveSettings
}, Effect.provide(NodeFileSystem.layer))
