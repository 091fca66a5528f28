/** A port of 127.0.0.1 that was free a moment ago; somebody else may take it meanwhile, so the caller tries again. */
import { type AddressInfo, createServer } from "node:net"
import { Effect } from "effect"

export const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = createServer()
  server.once("error", (error) => resume(Effect.die(error)))
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})
