/** The issuance program as the gateway has it, over a real step-ca, on the embedded PostgreSQL of a home of its own. */
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeFileSystem } from "@effect/platform-node"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import * as CertificateOrigin from "@mosaic-federation/issuance/CertificateOrigin"
import * as Database from "@mosaic-federation/issuance/Database"
import { EnrollmentTokenRepo } from "@mosaic-federation/issuance/EnrollmentTokenRepo"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Issuance } from "@mosaic-federation/issuance/Issuance"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { StepCa } from "@mosaic-federation/issuance/StepCa"
import { TokenDiagnosis } from "@mosaic-federation/issuance/TokenDiagnosis"
import { TokenSigner } from "@mosaic-federation/issuance/TokenSigner"
import { StepCaProcess, type StepCaOptions } from "@mosaic-federation/testing/StepCaProcess"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { ConfigProvider, Effect, Layer } from "effect"

const layerHome = Layer.unwrap(
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-gateway-"))),
      removeDirectory
    ),
    (home) => ConfigProvider.layer(ConfigProvider.fromEnv({ env: { MOSAIC_HOME: home } }))
  )
)

/** Grants, tokens and certificates, without a CA. */
const layerRecords = CertificateOrigin.layer.pipe(
  Layer.provide(GrantRepo.layerNoDeps),
  Layer.provideMerge(Layer.mergeAll(EnrollmentTokenRepo.layerNoDeps, AuditRepo.layerNoDeps)),
  Layer.provideMerge(Database.layer),
  Layer.provide(layerHome)
)

const layerIssuance = (environment: { readonly [variable: string]: string }) =>
  Issuance.layerNoDeps.pipe(
    Layer.provide(StepCa.layerNoDeps),
    Layer.provide(TokenDiagnosis.layerNoDeps),
    Layer.provide(Layer.mergeAll(PinnedHttpClient.layerNoDeps, TokenSigner.layerNoDeps)),
    Layer.provideMerge(IssuanceConfig.layerNoDeps),
    Layer.provide(NodeFileSystem.layer),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: environment })))
  )

/** `Issuance`, its records and its CA. */
export const layerGateway = (options: StepCaOptions = {}) =>
  Layer.unwrap(StepCaProcess.use(({ environment }) => Effect.succeed(layerIssuance(environment)))).pipe(
    Layer.provideMerge(layerRecords),
    Layer.provideMerge(StepCaProcess.layer(options))
  )
