/**
 * The production layers, loaded when a command needs them: help and completions do not wait for a database driver or a
 * TLS stack that they have no use for.
 */
import type { Issuance } from "@mosaic-federation/issuance/Issuance"
import type { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Effect, Fiber, Layer } from "effect"
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

/** On `DATABASE_URL` or the embedded PostgreSQL under `MOSAIC_HOME`. */
export const useGrants = Effect.fnUntraced(function* <A, E, R>(
  use: (grants: GrantRepo["Service"]) => Effect.Effect<A, E, R>
) {
  const { GrantRepo } = yield* Effect.promise(() => import("@mosaic-federation/issuance/GrantRepo"))
  return yield* Effect.gen(function* () {
    const services = yield* sayWhenSlow(starting, Layer.build(GrantRepo.layer))
    return yield* Effect.provide(GrantRepo.use(use), services)
  }).pipe(Effect.scoped)
})

/** Both share one database, opened once. */
export const useIssuance = Effect.fnUntraced(function* <A, E, R>(
  use: (issuance: Issuance["Service"], grants: GrantRepo["Service"]) => Effect.Effect<A, E, R>
) {
  const [{ GrantRepo }, { Issuance }] = yield* Effect.promise(() =>
    Promise.all([
      import("@mosaic-federation/issuance/GrantRepo"),
      import("@mosaic-federation/issuance/Issuance")
    ])
  )
  return yield* Effect.gen(function* () {
    const services = yield* sayWhenSlow(
      starting,
      Layer.build(Layer.mergeAll(Issuance.layer, GrantRepo.layer))
    )
    return yield* Effect.provide(
      Issuance.use((issuance) => GrantRepo.use((grants) => use(issuance, grants))),
      services
    )
  }).pipe(Effect.scoped)
})
