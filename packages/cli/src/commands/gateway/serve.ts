import { Context, Effect, Layer, References } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { gatewaySettings } from "../../ConfigFlag.ts"
import { optimizeEarly } from "../../optimizeEarly.ts"
import { optional } from "../../flags.ts"
import { endsInOrder } from "../../Interruption.ts"
import { print } from "../../Output.ts"

const flags = {
  listen: Flag.String("listen").pipe(
    Flag.withMetavar("<address:port>"),
    Flag.withDescription(
      "Where to listen; by default MOSAIC_LISTEN, else 127.0.0.1:8443; port 0 for any free one"
    ),
    optional
  )
}

/** A server's log tells of every request unless it is told otherwise. */
const logLevel =
  (process.env["MOSAIC_LOG_LEVEL"] ?? "") === ""
    ? Layer.succeed(References.MinimumLogLevel, "Info")
    : Layer.empty

export const serve = Command.make(
  "serve",
  flags,
  // Without a span: it would be the parent of every request's.
  Effect.fnUntraced(function* ({ listen }) {
    optimizeEarly()
    const [{ GatewayConfig }, { Listener }, { ServerConfig }, GatewayServer, ServerLog] =
      yield* Effect.promise(() =>
        Promise.all([
          import("@mosaic-federation/gateway/GatewayConfig"),
          import("@mosaic-federation/gateway/server/Listener"),
          import("@mosaic-federation/gateway/server/ServerConfig"),
          import("@mosaic-federation/gateway/server/GatewayServer"),
          import("@mosaic-federation/gateway/server/ServerLog")
        ])
      )
    const server = GatewayServer.layer.pipe(
      Layer.provide(ServerConfig.layer({ listen })),
      Layer.provide(GatewayConfig.layerOf(yield* gatewaySettings))
    )
    yield* Effect.gen(function* () {
      const { url } = Context.get(yield* Layer.build(server), Listener)
      yield* print({ document: { url, pid: process.pid }, lines: [`The gateway listens at ${url}`] })
      endsInOrder()
      return yield* Effect.never
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(ServerLog.layer, logLevel)))
  })
).pipe(
  Command.withDescription(
    "Run the gateway's server until it is told to end (SIGTERM), which loses no request"
  ),
  Command.withExamples([
    {
      command: "mosaic gateway serve",
      description: "HTTPS at 127.0.0.1:8443, settings from the environment"
    },
    {
      command: "mosaic gateway serve --listen 0.0.0.0:8443",
      description: "For the network; MOSAIC_GATEWAY_NAMES has the names of its certificate"
    }
  ])
)
