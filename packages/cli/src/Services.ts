/**
 * The production layers, loaded when a command needs them: help and completions do not wait for a database driver or a
 * TLS stack that they have no use for.
 */
import type { GatewaySettings } from "@mosaic-federation/gateway/GatewayConfig"
import type { ApiKeys } from "@mosaic-federation/gateway/server/ApiKeys"
import type { TaskQueue } from "@mosaic-federation/gateway/TaskQueue"
import type { Issuance } from "@mosaic-federation/issuance/Issuance"
import type { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Effect, Fiber, Layer } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import { gatewaySettings } from "./ConfigFlag.ts"
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

/** The database of the tier, opened and not looked at: for what migrates it. */
export const useDatabase = Effect.fnUntraced(function* <A, E, R>(
  use: Effect.Effect<A, E, R | SqlClient>,
  settings?: GatewaySettings
) {
  const [{ GatewayConfig }, { layerAsItIs }] = yield* loadGateway
  const database = Layer.provide(layerAsItIs, GatewayConfig.layerOf(yield* given(settings)))
  return yield* Effect.gen(function* () {
    return yield* Effect.provide(use, yield* sayWhenSlow(starting, Layer.build(database)))
  }).pipe(Effect.scoped)
})

const loadGrantRepo = Effect.fnUntraced(function* (settings: GatewaySettings | undefined) {
  const [[{ GatewayConfig }, database], { GrantRepo }] = yield* Effect.all([
    loadGateway,
    Effect.promise(() => import("@mosaic-federation/issuance/GrantRepo"))
  ])
  const layer = GrantRepo.layerNoDeps.pipe(
    Layer.provideMerge(database.layer),
    Layer.provide(GatewayConfig.layerOf(yield* given(settings)))
  )
  return { GrantRepo, layer }
})

/** On the database of the tier. */
export const useGrants = Effect.fnUntraced(function* <A, E, R>(
  use: (grants: GrantRepo["Service"]) => Effect.Effect<A, E, R>,
  settings?: GatewaySettings
) {
  const { GrantRepo, layer } = yield* loadGrantRepo(settings)
  return yield* Effect.gen(function* () {
    const services = yield* sayWhenSlow(starting, Layer.build(layer))
    return yield* Effect.provide(GrantRepo.use(use), services)
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

/** For a change that leaves tasks: both share one database, opened once, and the command tries its tasks itself. */
export const useGrantsAndTasks = Effect.fnUntraced(function* <A, E, R>(
  use: (grants: GrantRepo["Service"], tasks: TaskQueue["Service"]) => Effect.Effect<A, E, R>
) {
  const [[{ GatewayConfig }, database], [{ GrantRepo }, { TaskQueue }, { TaskRepo }]] = yield* Effect.all([
    loadGateway,
    Effect.promise(() =>
      Promise.all([
        import("@mosaic-federation/issuance/GrantRepo"),
        import("@mosaic-federation/gateway/TaskQueue"),
        import("@mosaic-federation/issuance/TaskRepo")
      ])
    )
  ])
  const both = Layer.mergeAll(
    GrantRepo.layerNoDeps,
    Layer.provide(TaskQueue.layerNoDeps, TaskRepo.layerNoDeps)
  ).pipe(Layer.provide(database.layer), Layer.provide(GatewayConfig.layerOf(yield* gatewaySettings)))
  return yield* Effect.gen(function* () {
    const services = yield* sayWhenSlow(starting, Layer.build(both))
    return yield* Effect.provide(
      GrantRepo.use((grants) => TaskQueue.use((tasks) => use(grants, tasks))),
      services
    )
  }).pipe(Effect.scoped)
})

/** Both share one database, opened once. */
export const useIssuance = Effect.fnUntraced(function* <A, E, R>(
  use: (issuance: Issuance["Service"], grants: GrantRepo["Service"]) => Effect.Effect<A, E, R>
) {
  const [
    { GrantRepo, layer },
    [AuditedIssuance, { AuditRepo }, { Issuance }, { IssuanceConfig }, { StepCa }]
  ] = yield* Effect.all([
    loadGrantRepo(undefined),
    Effect.promise(() =>
      Promise.all([
        import("@mosaic-federation/issuance/AuditedIssuance"),
        import("@mosaic-federation/issuance/AuditRepo"),
        import("@mosaic-federation/issuance/Issuance"),
        import("@mosaic-federation/issuance/IssuanceConfig"),
        import("@mosaic-federation/issuance/StepCa")
      ])
    )
  ])
  const both = AuditedIssuance.layer.pipe(
    Layer.provide(Issuance.layerNoDeps),
    Layer.provide([StepCa.layer, IssuanceConfig.layer, AuditRepo.layerNoDeps]),
    Layer.provideMerge(layer)
  )
  return yield* Effect.gen(function* () {
    const services = yield* sayWhenSlow(starting, Layer.build(both))
    return yield* Effect.provide(
      Issuance.use((issuance) => GrantRepo.use((grants) => use(issuance, grants))),
      services
    )
  }).pipe(Effect.scoped)
})
