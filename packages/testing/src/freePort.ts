/**
 * A port of 127.0.0.1 on which nothing listens. It lies below those that systems give to whoever asks for any (32768 and
 * above on Linux, 49152 elsewhere), so that no connection and no other server of the tests comes by it meanwhile.
 */
import { randomInt } from "node:crypto"
import { createServer } from "node:net"
import { Effect } from "effect"

const first = 20_000
const last = 32_767

/** Whether one could listen there just now. */
export const isFreePort = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(true))))
  })

export const freePort: Effect.Effect<number> = Effect.gen(function* () {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(first, last + 1)
    if (yield* isFreePort(port)) return port
  }
  return yield* Effect.die(new Error(`127.0.0.1 has no free port from ${first} to ${last}`))
})
