/**
 * Whether this replica should get requests: what it depends on answers, and it is not on its way out. However often it is
 * asked, it looks once a second.
 */
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { schemaStatus } from "@mosaic-federation/issuance/Migrations"
import { StorageSchemaOlder } from "@mosaic-federation/domain/StorageErrors"
import { CaUnexpectedStatus } from "@mosaic-federation/domain/CaErrors"
import { requestIdOf } from "@mosaic-federation/issuance/CaAnswer"
import { Context, Duration, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Coordination } from "./Coordination.ts"
import { Drain } from "./Drain.ts"

export interface Check {
  readonly name: string
  readonly ok: boolean
  /** False: the gateway goes on without it, slower. */
  readonly required: boolean
  /** The code of what stands in the way. */
  readonly code: string | null
}

export interface State {
  readonly status: "ready" | "draining" | "unavailable"
  readonly checks: ReadonlyArray<Check>
}

/** Whatever it depends on: it is not asked, since that may take its time. */
const draining: State = { status: "draining", checks: [] }

/** Whoever asks has a time-out of its own, and it is seldom longer. */
const patience = Duration.seconds(3)

const check = (name: string, look: Effect.Effect<unknown, { readonly code: string }>, required = true) =>
  look.pipe(
    Effect.as<Check>({ name, ok: true, required, code: null }),
    Effect.catch(({ code }) => Effect.succeed<Check>({ name, ok: false, required, code })),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.succeed<Check>({ name, ok: false, required, code: "REQUEST_TIMED_OUT" })
    })
  )

export class Readiness extends Context.Service<
  Readiness,
  {
    readonly state: Effect.Effect<State>
  }
>()("@mosaic-federation/gateway/Readiness") {
  static readonly layerNoDeps = Layer.effect(
    Readiness,
    Effect.gen(function* () {
      const ca = yield* PinnedHttpClient
      const { valkey } = yield* Coordination
      const drain = yield* Drain
      const sql = yield* SqlClient

      const database = Effect.gen(function* () {
        const { applied, pending } = yield* schemaStatus()
        const found = applied.at(-1)?.id ?? 0
        if (pending.length > 0) {
          return yield* new StorageSchemaOlder({ found, known: found + pending.length })
        }
      }).pipe(Effect.provideService(SqlClient, sql))

      const health = Effect.gen(function* () {
        const response = yield* ca.request({ method: "GET", path: "/health" })
        if (response.status !== 200) {
          return yield* new CaUnexpectedStatus({
            requestId: requestIdOf(response),
            status: response.status
          })
        }
      })

      const looked = yield* Effect.cachedWithTTL(
        Effect.all(
          [
            check("database", database),
            check("ca", health),
            ...(valkey === null ? [] : [check("valkey", valkey, false)])
          ],
          { concurrency: "unbounded" }
        ),
        "1 second"
      )

      return Readiness.of({
        state: Effect.gen(function* (): Effect.fn.Return<State> {
          if (drain.isDraining()) return draining
          const checks = yield* looked
          if (drain.isDraining()) return draining
          return {
            status: checks.every(({ ok, required }) => ok || !required) ? "ready" : "unavailable",
            checks
          }
        })
      })
    })
  )
}
