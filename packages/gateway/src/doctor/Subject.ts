/**
 * What the doctor looks at: the settings, read piece by piece so that one wrong piece hides no other, and one connection
 * to each service, opened by the first check that asks for it and closed with the scope. It judges nothing.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import type {
  ConfigMissing,
  RootCertificateExpired,
  RootCertificateRefused
} from "@mosaic-federation/domain/ConfigurationErrors"
import type { CaUnexpectedStatus } from "@mosaic-federation/domain/CaErrors"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import type { TransportError } from "@mosaic-federation/domain/TransportErrors"
import * as Database from "@mosaic-federation/issuance/Database"
import {
  issuanceRequires,
  type IssuanceSettings,
  type Lifetimes,
  readCaUrl,
  readDuration,
  readKeySource,
  readLifetimes,
  settingOrDefault
} from "@mosaic-federation/issuance/IssuanceConfig"
import { mosaicHome } from "@mosaic-federation/issuance/MosaicHome"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import {
  type ProvisionerKey,
  type ProvisionerKeyError,
  type ProvisionerKeySource,
  readProvisionerKey,
  statedProvisioner
} from "@mosaic-federation/issuance/ProvisionerKey"
import { listProvisioners, type Provisioner } from "@mosaic-federation/issuance/Provisioners"
import { requiredSetting, type SettingError } from "@mosaic-federation/issuance/Setting"
import { readOids, readRootFile } from "@mosaic-federation/issuance/TrustConfig"
import type { Certificate } from "@mosaic-federation/x509/Certificate"
import type { GrantOids } from "@mosaic-federation/x509/Oid"
import { Context, Duration, Effect, Layer, References, Result, Scope, Option } from "effect"
import type * as Redis from "effect/persistence/Redis"
import type { SqlClient } from "effect/sql/SqlClient"
import { GatewayConfig, type GatewaySettings } from "../GatewayConfig.ts"
import { parseQueueUrl, type QueueAddress } from "../QueueUrl.ts"
import { Valkey } from "../Valkey.ts"

/** Everything about the CA that is a setting, of the right form; files that they name are not read yet. */
export interface CaSettings {
  readonly url: URL
  readonly provisioner: string
  readonly rootPath: string
  readonly keySource: ProvisionerKeySource
  readonly oids: GrantOids
  readonly lifetimes: Lifetimes
  readonly connectTimeout: Duration.Duration
}

type CaSettingError = SettingError | ConfigMissing

export interface SubjectOptions {
  /** Also what costs something and leaves traces in the CA's log. */
  readonly deep: boolean
  /** How long a service may take to answer. */
  readonly patience: Duration.Duration
}

type RootError = SettingError | RootCertificateExpired | RootCertificateRefused

export class Subject extends Context.Service<
  Subject,
  {
    readonly settings: GatewaySettings
    readonly home: string
    readonly deep: boolean
    readonly queue: QueueAddress | null
    /** Or everything that is wrong with them, at least one. */
    readonly ca: Result.Result<CaSettings, ReadonlyArray<CaSettingError>>
    readonly database: Effect.Effect<Context.Context<SqlClient>, StorageError | SettingError>
    readonly valkey: Effect.Effect<Context.Context<Redis.Redis | Valkey>>
    /** Of settings that are complete: to be asked for by checks that need `settings`. */
    readonly caSettings: Effect.Effect<CaSettings>
    readonly roots: Effect.Effect<ReadonlyArray<Certificate>, RootError>
    /** Whatever its kind: that a symmetric one is a danger is said by a check of its own. */
    readonly key: Effect.Effect<ProvisionerKey, ProvisionerKeyError>
    /** Everything that the issuance program takes, of settings whose root and key are good. */
    readonly issuance: Effect.Effect<IssuanceSettings, RootError | ProvisionerKeyError>
    readonly http: Effect.Effect<PinnedHttpClient["Service"], RootError>
    readonly provisioners: Effect.Effect<
      ReadonlyArray<Provisioner>,
      RootError | TransportError | CaUnexpectedStatus
    >
  }
>()("@mosaic-federation/gateway/doctor/Subject") {
  static readonly layer = (options: SubjectOptions) => Layer.effect(Subject, make(options))
}

const required = (variable: keyof typeof issuanceRequires) =>
  requiredSetting(variable, issuanceRequires[variable])

/** All that is wrong, and not the first thing alone. */
export const readCaSettings = Effect.gen(function* () {
  const url = yield* Effect.result(readCaUrl)
  const rootPath = yield* Effect.result(required("STEP_CA_ROOT_CERT_PATH"))
  const keySource = yield* Effect.result(readKeySource)
  const provisioner = yield* Effect.result(settingOrDefault("STEP_CA_PROVISIONER"))
  const oids = yield* Effect.result(readOids)
  const lifetimes = yield* Effect.result(readLifetimes)
  const connectTimeout = yield* Effect.result(readDuration("STEP_CA_CONNECT_TIMEOUT"))
  const others = [
    yield* Effect.result(required("STEP_CA_PROVISIONER_PASSWORD")),
    yield* Effect.result(readDuration("STEP_CA_TIMEOUT"))
  ]
  const all = Result.all({ url, rootPath, keySource, provisioner, oids, lifetimes, connectTimeout })
  const every: ReadonlyArray<Result.Result<unknown, CaSettingError>> = [
    url,
    rootPath,
    keySource,
    provisioner,
    oids,
    lifetimes,
    connectTimeout,
    ...others
  ]
  const errors = every.flatMap((one) => (Result.isFailure(one) ? [one.failure] : []))
  return Result.isFailure(all) || errors.length > 0
    ? Result.fail([...new Map(errors.map((error) => [error.message, error])).values()])
    : Result.succeed({
        ...all.success,
        provisioner: Option.getOrElse(statedProvisioner(all.success.keySource), () => all.success.provisioner)
      })
})

const make = Effect.fnUntraced(function* ({ deep, patience }: SubjectOptions) {
  const settings = yield* GatewayConfig
  const scope = yield* Effect.scope
  const ca = yield* readCaSettings
  const queue = settings.queue === null ? null : Result.getOrNull(parseQueueUrl(settings.queue.value))

  const database = yield* Effect.cached(
    Layer.buildWithScope(
      settings.database === null
        ? Database.layerEmbedded("leave")
        : Database.layerUrl(settings.database.value, settings.database.source, "leave"),
      scope
    )
  )

  const valkey = yield* Effect.cached(
    queue === null
      ? Effect.die(new Error("there is no queue"))
      : Layer.buildWithScope(Valkey.layer(queue, { patience }), scope).pipe(
          // What it would log is what the report says.
          Effect.provideService(References.MinimumLogLevel, "None")
        )
  )

  const caSettings = Effect.suspend(() =>
    Result.isSuccess(ca) ? Effect.succeed(ca.success) : Effect.die(new Error("the settings are incomplete"))
  )

  const roots = yield* Effect.cached(
    Effect.flatMap(caSettings, ({ rootPath }) => readRootFile("STEP_CA_ROOT_CERT_PATH", rootPath)).pipe(
      Effect.provide(NodeFileSystem.layer)
    )
  )

  const key = yield* Effect.cached(
    Effect.flatMap(caSettings, ({ keySource }) => readProvisionerKey({ ...keySource, allowSymmetric: true }))
  )

  const issuance = Effect.gen(function* () {
    const { connectTimeout, lifetimes, oids, provisioner, url } = yield* caSettings
    return {
      caUrl: url,
      provisioner,
      provisionerKey: yield* key,
      roots: yield* roots,
      oids,
      lifetimes,
      connectTimeout,
      totalTimeout: patience
    } satisfies IssuanceSettings
  })

  const http = yield* Effect.cached(
    Effect.gen(function* () {
      const { connectTimeout, url } = yield* caSettings
      return yield* PinnedHttpClient.make({
        baseUrl: url,
        rootsPem: (yield* roots).map(({ pem }) => pem),
        connectTimeout: Duration.min(connectTimeout, patience),
        totalTimeout: patience
      })
    }).pipe(Effect.provideService(Scope.Scope, scope))
  )

  const provisioners = yield* Effect.cached(
    Effect.gen(function* () {
      const { url } = yield* caSettings
      return yield* listProvisioners(yield* http, url)
    })
  )

  return Subject.of({
    settings,
    home: yield* mosaicHome,
    deep,
    queue,
    ca,
    database,
    valkey,
    caSettings,
    roots,
    key,
    issuance,
    http,
    provisioners
  })
}, Effect.provide(NodeFileSystem.layer))
