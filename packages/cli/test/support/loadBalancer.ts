/**
 * Stands before the replicas as a balancer of TCP connections does: TLS passes through it, a connection goes to the next
 * replica that takes it, and one whose replica dies is cut.
 */
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { Effect, type Scope } from "effect"

export interface LoadBalancer {
  /** `https://127.0.0.1:PORT` */
  readonly url: string
  /** From now on: the ports of the replicas that there are. */
  readonly route: (ports: ReadonlyArray<number>) => void
}

const open = async (port: number): Promise<Socket | undefined> => {
  const socket = connect(port, "127.0.0.1")
  const failed = new Promise<undefined>((resolve) => socket.once("error", () => resolve(undefined)))
  return Promise.race([
    once(socket, "connect").then(
      () => socket,
      () => undefined
    ),
    failed
  ])
}

export const loadBalancer: Effect.Effect<LoadBalancer, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(async () => {
    let ports: ReadonlyArray<number> = []
    let turn = 0
    const sockets = new Set<Socket>()
    const hold = (socket: Socket) => {
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
      socket.on("error", () => undefined)
    }
    const forward = async (client: Socket) => {
      hold(client)
      for (let tried = 0; tried < ports.length; tried++) {
        const port = ports[turn++ % ports.length]
        const replica = port === undefined ? undefined : await open(port)
        if (replica === undefined) continue
        hold(replica)
        client.pipe(replica).pipe(client)
        client.once("close", () => replica.destroy())
        replica.once("close", () => client.destroy())
        return
      }
      client.destroy()
    }
    const server = createServer((client) => void forward(client)).listen(0, "127.0.0.1")
    await once(server, "listening")
    const { port } = server.address() as AddressInfo
    return {
      url: `https://127.0.0.1:${port}`,
      route: (next: ReadonlyArray<number>) => {
        ports = next
      },
      close: () => {
        server.close()
        for (const socket of sockets) socket.destroy()
      }
    }
  }),
  ({ close }) => Effect.sync(close)
)
