/** What a gateway knows of what its replicas share. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { GatewayConfig, type GatewaySettings } from "../src/GatewayConfig.ts"
import { Coordination } from "../src/server/Coordination.ts"
import { layerRecords } from "./support/federatedRecords.ts"

const settings: GatewaySettings = {
  tier: "local",
  tierSource: "default",
  file: null,
  database: null,
  queue: null
}

/** The discard port, where nobody listens. */
const nowhere = { value: Redacted.make("redis://:correct-horse@127.0.0.1:9"), source: "REDIS_URL" }

const coordination = (more: Partial<GatewaySettings>) =>
  Coordination.layer.pipe(Layer.provide(GatewayConfig.layerOf({ ...settings, ...more })))

layer(layerRecords, { excludeTestServices: true })("Coordination", (it) => {
  it.effect("shares nothing in the local tier, whatever queue is set", () =>
    Effect.gen(function* () {
      assert.isNull(yield* Coordination.use(({ valkey }) => Effect.succeed(valkey)))
    }).pipe(Effect.provide(coordination({ queue: nowhere })))
  )

  it.effect("starts without Valkey, and says what that means and what to do", () =>
    Effect.gen(function* () {
      const { valkey } = yield* Coordination
      const { code, message, remediation, retryable } = yield* Effect.flip(valkey ?? Effect.void)
      assert.deepStrictEqual(
        { code, message, retryable },
        {
          code: "VALKEY_UNAVAILABLE",
          message: "127.0.0.1:9: connect ECONNREFUSED 127.0.0.1:9",
          retryable: true
        }
      )
      assert.include(remediation, "see which one is used and where that is set (mosaic config show)")
    }).pipe(Effect.provide(coordination({ tier: "federated", queue: nowhere })))
  )
})
