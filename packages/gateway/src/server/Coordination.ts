/**
 * What replicas share, where there are any: the bell of the task queue, the rate limits and the cache of grants' status.
 * In the federated tier that is Valkey's; in the local tier it is the process's own.
 */
import { ValkeyUnavailable } from "@mosaic-federation/domain/ServerErrors"
import { Context, Effect, Layer, Result } from "effect"
import { GatewayConfig } from "../GatewayConfig.ts"
import { GrantStatusCache } from "../GrantStatusCache.ts"
import { parseQueueUrl } from "../QueueUrl.ts"
import { RateLimits } from "../RateLimits.ts"
import { TaskBell } from "../TaskBell.ts"
import { Valkey } from "../Valkey.ts"

export class Coordination extends Context.Service<
  Coordination,
  {
    /** Fails while the replicas cannot share anything, which makes them slower; null where nothing is shared. */
    readonly valkey: Effect.Effect<void, ValkeyUnavailable> | null
  }
>()("@mosaic-federation/gateway/Coordination") {
  /** Needs `GatewayConfig`, and the database with its `GrantRepo`. */
  static readonly layer = Layer.unwrap(
    GatewayConfig.use(({ queue, tier }) => {
      const address =
        tier === "federated" && queue !== null ? Result.getOrUndefined(parseQueueUrl(queue.value)) : undefined
      if (address === undefined) {
        const alone = Layer.succeed(Coordination, Coordination.of({ valkey: null }))
        return Effect.succeed(
          Layer.mergeAll(TaskBell.layerLocal, RateLimits.layerLocal, GrantStatusCache.layerLocal(), alone)
        )
      }
      const { host, port } = address
      const shared = Layer.effect(
        Coordination,
        Valkey.use(({ health }) =>
          Effect.succeed(
            Coordination.of({
              valkey: Effect.flatMap(health, (found) =>
                found.state === "up"
                  ? Effect.void
                  : Effect.fail(new ValkeyUnavailable({ host, port, reason: found.reason }))
              )
            })
          )
        )
      )
      return Effect.succeed(
        Layer.mergeAll(
          TaskBell.layerValkey,
          RateLimits.layerValkey,
          GrantStatusCache.layerValkey(),
          shared
        ).pipe(Layer.provide(Valkey.layer(address)))
      )
    })
  )
}
