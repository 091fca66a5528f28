/** The production layers over a CA that a test names, on the embedded PostgreSQL of a home that the test owns. */
import { NodeFileSystem } from "@effect/platform-node"
import { makeProvisionerKey } from "@mosaic-federation/testing/ProvisionerKeys"
import { grantOids, mosaicArc } from "@mosaic-federation/x509/Oid"
import { parseRootBundle } from "@mosaic-federation/x509/RootBundle"
import { ConfigProvider, Duration, Effect, Layer, Option, Redacted, Result } from "effect"
import { GrantRepo } from "../../src/GrantRepo.ts"
import { Issuance } from "../../src/Issuance.ts"
import { IssuanceConfig, type IssuanceSettings } from "../../src/IssuanceConfig.ts"
import { PinnedHttpClient } from "../../src/PinnedHttpClient.ts"
import { readProvisionerKey } from "../../src/ProvisionerKey.ts"
import { StepCa } from "../../src/StepCa.ts"
import { TokenDiagnosis } from "../../src/TokenDiagnosis.ts"
import { TokenSigner } from "../../src/TokenSigner.ts"
import { databaseOfItsOwn } from "./databaseOfItsOwn.ts"

export const settingsFor = (
  ca: { readonly url: string; readonly rootPem: string },
  overrides: Partial<IssuanceSettings> = {}
): Effect.Effect<IssuanceSettings> =>
  Effect.gen(function* () {
    const jwk = yield* Effect.promise(() => makeProvisionerKey("ES256"))
    const provisionerKey = yield* readProvisionerKey({
      text: Redacted.make(JSON.stringify(jwk)),
      password: Redacted.make("unused"),
      kid: Option.none(),
      allowSymmetric: false
    })
    return {
      caUrl: new URL(ca.url),
      provisioner: "mosaic-fed",
      provisionerKey,
      roots: Result.getOrThrow(parseRootBundle(ca.rootPem, new Date())),
      oids: Result.getOrThrow(grantOids(mosaicArc)),
      lifetimes: { shortest: Duration.minutes(5), standard: Duration.hours(24), longest: Duration.hours(24) },
      connectTimeout: Duration.seconds(2),
      totalTimeout: Duration.seconds(5),
      ...overrides
    }
  }).pipe(Effect.orDie)

const layerCa = (settings: IssuanceSettings) =>
  StepCa.layerNoDeps.pipe(
    Layer.provideMerge(TokenDiagnosis.layerNoDeps),
    Layer.provideMerge(Layer.mergeAll(PinnedHttpClient.layerNoDeps, TokenSigner.layerNoDeps)),
    Layer.provideMerge(IssuanceConfig.layerOf(settings))
  )

/** Settings from the environment, as production reads them. */
export const layerConfig = (environment: { readonly [variable: string]: string }) =>
  IssuanceConfig.layerNoDeps.pipe(
    Layer.provide(NodeFileSystem.layer),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: environment })))
  )

/** `Issuance` and everything below it stays reachable for the test. */
export const issuanceOver = (settings: IssuanceSettings) =>
  Issuance.layerNoDeps.pipe(Layer.provideMerge(layerCa(settings)))

/** Grants, and the database that they are in. */
export const layerRecords = GrantRepo.layerNoDeps.pipe(Layer.provideMerge(databaseOfItsOwn))
