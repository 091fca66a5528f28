/**
 * The production layers, loaded when a command needs them: help and completions do not wait for a database driver or a
 * TLS stack that they have no use for.
 */
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import type { GatewaySettings } from "@mosaic-federation/gateway/GatewayConfig"
import type { AuditOperations } from "@mosaic-federation/gateway/operator/AuditOperations"
import type { CertificateOperations } from "@mosaic-federation/gateway/operator/CertificateOperations"
import type { GrantOperations } from "@mosaic-federation/gateway/operator/GrantOperations"
import type { Issuing } from "@mosaic-federation/gateway/operator/Issuing"
import type { TokenOperations } from "@mosaic-federation/gateway/operator/TokenOperations"
import type { RedeemedAt } from "@mosaic-federation/gateway/operator/tokensHere"
import type { ApiKeys } from "@mosaic-federation/gateway/server/ApiKeys"
import type { RevocationComparison } from "@mosaic-federation/issuance/RevocationComparison"
import { Effect, Fiber, Layer, Option } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import { gatewaySettings } from "./ConfigFlag.ts"
import { gatewayTarget } from "./GatewayFlag.ts"
import { writeError } from "./Output.ts"

/** For people who wait, and only where they look: the first start of the embedded database takes seconds. */
const sayWhenSlow = <A, E, R>(text: string, effect: Effect.Effect<A, E, R>) =>
  process.stderr.isTTY
    ? Effect.gen(function* () {
        const notice = yield* Effect.forkChild(Effect.delay(writeError(`${text}\n`), "700 millis"))
        return yield* Effect.ensuring(effect, Fiber.interrupt(notice))
      })
    : effect

const starting = "Opening the database; the first start of the embedded one takes some seconds ..."

/** What each of these takes where its caller has no settings yet. */
const given = (settings: GatewaySettings | undefined) =>
  settings === undefined ? gatewaySettings : Effect.succeed(settings)

const loadGateway = Effect.promise(() =>
  Promise.all([
    import("@mosaic-federation/gateway/GatewayConfig"),
    import("@mosaic-federation/gateway/GatewayDatabase")
  ])
)

/** The database of the tier as its owner, opened and not looked at: for what migrates it. */
export const useDatabase = Effect.fnUntraced(function* <A, E, R>(
  use: Effect.Effect<A, E, R | SqlClient>,
  settings?: GatewaySettings
) {
  const [{ GatewayConfig }, { layerOwner }] = yield* loadGateway
  const database = Layer.provide(layerOwner, GatewayConfig.layerOf(yield* given(settings)))
  return yield* Effect.gen(function* () {
    return yield* Effect.provide(use, yield* sayWhenSlow(starting, Layer.build(database)))
  }).pipe(Effect.scoped)
})

/** On the database of the tier. */
export const useApiKeys = Effect.fnUntraced(function* <A, E, R>(
  use: (keys: ApiKeys["Service"]) => Effect.Effect<A, E, R>
) {
  const [[{ GatewayConfig }, database], { ApiKeys }] = yield* Effect.all([
    loadGateway,
    Effect.promise(() => import("@mosaic-federation/gateway/server/ApiKeys"))
  ])
  const layer = ApiKeys.layer.pipe(
    Layer.provide(database.layer),
    Layer.provide(GatewayConfig.layerOf(yield* gatewaySettings))
  )
  return yield* Effect.gen(function* () {
    const services = yield* sayWhenSlow(starting, Layer.build(layer))
    return yield* Effect.provide(ApiKeys.use(use), services)
  }).pipe(Effect.scoped)
})

/** The audit record of the gateway that the command names, else of the database of the tier. */
export const useAudit = Effect.fnUntraced(function* <A, E, R>(
  use: (audit: AuditOperations["Service"]) => Effect.Effect<A, E, R>
) {
  const target = yield* gatewayTarget
  const { AuditOperations } = yield* Effect.promise(
    () => import("@mosaic-federation/gateway/operator/AuditOperations")
  )
  if (Option.isSome(target)) {
    const [{ GatewayClient }] = yield* loadOperations
    const layer = Layer.provide(AuditOperations.layerOverApi, GatewayClient.layer(target.value))
    return yield* Effect.provide(AuditOperations.use(use), layer)
  }
  const [[{ GatewayConfig }, database], { AuditKey }, { AuditRepo }] = yield* Effect.all([
    loadGateway,
    Effect.promise(() => import("@mosaic-federation/issuance/AuditKey")),
    Effect.promise(() => import("@mosaic-federation/issuance/AuditRepo"))
  ])
  const settings = yield* gatewaySettings
  const layer = AuditOperations.layerHere(settings.tier === "local").pipe(
    Layer.provide([AuditRepo.layerNoDeps, AuditKey.layer]),
    Layer.provide(database.layer),
    Layer.provide(GatewayConfig.layerOf(settings))
  )
  return yield* Effect.gen(function* () {
    const services = yield* sayWhenSlow(starting, Layer.build(layer))
    return yield* Effect.provide(AuditOperations.use(use), services)
  }).pipe(Effect.scoped)
})

const loadOperations = Effect.promise(() =>
  Promise.all([
    import("@mosaic-federation/gateway/client/GatewayClient"),
    import("@mosaic-federation/gateway/operator/CertificateOperations"),
    import("@mosaic-federation/gateway/operator/GrantOperations"),
    import("@mosaic-federation/gateway/operator/Operations"),
    import("@mosaic-federation/gateway/operator/TokenOperations")
  ])
)

export interface Operations {
  readonly grants: GrantOperations["Service"]
  readonly certificates: CertificateOperations["Service"]
  readonly tokens: TokenOperations["Service"]
}

export interface OperationsOptions {
  readonly settings?: GatewaySettings
  /** What a new token tells the peer; a gateway knows that itself. */
  readonly redeemedAt?: Effect.Effect<RedeemedAt, MosaicError>
}

const noTokenIsMade = Effect.die(new Error("a token is made without a place to redeem it"))

/** On the gateway that the command names, else on the database of the tier. */
export const useOperations = Effect.fnUntraced(function* <A, E, R>(
  use: (operations: Operations) => Effect.Effect<A, E, R>,
  { redeemedAt = noTokenIsMade, settings }: OperationsOptions = {}
) {
  const target = yield* gatewayTarget
  const [client, certificates, grants, operations, tokens] = yield* loadOperations
  const run = Effect.gen(function* () {
    return yield* use({
      grants: yield* grants.GrantOperations,
      certificates: yield* certificates.CertificateOperations,
      tokens: yield* tokens.TokenOperations
    })
  })
  if (Option.isSome(target)) {
    const layer = Layer.provide(operations.layerOverApi, client.GatewayClient.layer(target.value))
    return yield* Effect.provide(run, layer)
  }
  const [{ GatewayConfig }, database] = yield* loadGateway
  const layer = operations
    .layerHere(redeemedAt)
    .pipe(Layer.provide(database.layer), Layer.provide(GatewayConfig.layerOf(yield* given(settings))))
  return yield* Effect.gen(function* () {
    return yield* Effect.provide(run, yield* sayWhenSlow(starting, Layer.build(layer)))
  }).pipe(Effect.scoped)
})

/** By the gateway that the command names, else by the CA itself, with the records in the database of the tier. */
export const useIssuing = Effect.fnUntraced(function* <A, E, R>(
  use: (issuing: Issuing["Service"]) => Effect.Effect<A, E, R>
) {
  const target = yield* gatewayTarget
  const { Issuing } = yield* Effect.promise(() => import("@mosaic-federation/gateway/operator/Issuing"))
  if (Option.isSome(target)) {
    const [{ GatewayClient }] = yield* loadOperations
    const layer = Layer.provide(Issuing.layerOverApi, GatewayClient.layer(target.value))
    return yield* Effect.provide(Issuing.use(use), layer)
  }
  const [
    [{ GatewayConfig }, database],
    [
      AuditedIssuance,
      { AuditRepo },
      { GrantRepo },
      { Issuance },
      { IssuanceConfig },
      { StepCa },
      { TaskRepo },
      { TaskRunner }
    ]
  ] = yield* Effect.all([
    loadGateway,
    Effect.promise(() =>
      Promise.all([
        import("@mosaic-federation/issuance/AuditedIssuance"),
        import("@mosaic-federation/issuance/AuditRepo"),
        import("@mosaic-federation/issuance/GrantRepo"),
        import("@mosaic-federation/issuance/Issuance"),
        import("@mosaic-federation/issuance/IssuanceConfig"),
        import("@mosaic-federation/issuance/StepCa"),
        import("@mosaic-federation/issuance/TaskRepo"),
        import("@mosaic-federation/gateway/TaskRunner")
      ])
    )
  ])
  const layer = Issuing.layerHere.pipe(
    Layer.provide([AuditedIssuance.layer, TaskRunner.layerNoDeps]),
    Layer.provide([Issuance.layerNoDeps, TaskRepo.layerNoDeps]),
    Layer.provide([StepCa.layer, IssuanceConfig.layer, AuditRepo.layerNoDeps, GrantRepo.layerNoDeps]),
    Layer.provide(database.layer),
    Layer.provide(GatewayConfig.layerOf(yield* gatewaySettings))
  )
  return yield* Effect.gen(function* () {
    return yield* Effect.provide(Issuing.use(use), yield* sayWhenSlow(starting, Layer.build(layer)))
  }).pipe(Effect.scoped)
})

/** On the database of the tier and at the CA. */
export const useRevocationComparison = Effect.fnUntraced(function* <A, E, R>(
  use: (comparison: RevocationComparison["Service"]) => Effect.Effect<A, E, R>
) {
  const [
    [{ GatewayConfig }, database],
    [{ GrantChanges }, { IssuanceConfig }, { PinnedHttpClient }, { RevocationComparison }, { StepCa }]
  ] = yield* Effect.all([
    loadGateway,
    Effect.promise(() =>
      Promise.all([
        import("@mosaic-federation/issuance/GrantChanges"),
        import("@mosaic-federation/issuance/IssuanceConfig"),
        import("@mosaic-federation/issuance/PinnedHttpClient"),
        import("@mosaic-federation/issuance/RevocationComparison"),
        import("@mosaic-federation/issuance/StepCa")
      ])
    )
  ])
  const layer = RevocationComparison.layerNoDeps.pipe(
    Layer.provide([StepCa.layer, PinnedHttpClient.layer, IssuanceConfig.layer, GrantChanges.layerNoDeps]),
    Layer.provide(database.layer),
    Layer.provide(GatewayConfig.layerOf(yield* gatewaySettings))
  )
  return yield* Effect.gen(function* () {
    const services = yield* sayWhenSlow(starting, Layer.build(layer))
    return yield* Effect.provide(RevocationComparison.use(use), services)
  }).pipe(Effect.scoped)
})
