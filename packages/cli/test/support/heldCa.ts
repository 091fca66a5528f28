/**
 * A way to the CA or to a database that a test can close: what is sent stays unsent, what is answered stays unread, or every
 * connection ends. TLS passes through.
 */
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from "node:net"
import { Effect } from "effect"

type What = "requests" | "answers" | "connections"

export interface HeldWay {
  /** On 127.0.0.1. */
  readonly port: number
  /** From now on the server hears nothing, or nobody hears it, or nobody reaches it. */
  readonly hold: (what: What) => void
  readonly release: () => void
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
}

export const heldWay = (target: NetConnectOpts) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<HeldWay & { readonly close: () => void }>((resolve) => {
          const pairs = new Set<Pair>()
          let held: What | undefined
          const apply = ({ client, server }: Pair) => {
            if (held === "connections") {
              client.destroy()
              server.destroy()
              return
            }
            if (held === "requests") client.pause()
            else client.resume()
            if (held === "answers") server.pause()
            else server.resume()
          }
          const listener = createServer((client) => {
            const pair = { client, server: connect(target) }
            const { server } = pair
            pairs.add(pair)
            const end = () => {
              client.destroy()
              server.destroy()
              pairs.delete(pair)
            }
            for (const [one, other] of [
              [client, server],
              [server, client]
            ] as const) {
              one.on("data", (chunk) => other.write(chunk))
              one.on("error", end)
              one.on("close", end)
            }
            apply(pair)
          })
          listener.listen(0, "127.0.0.1", () => {
            resolve({
              port: (listener.address() as AddressInfo).port,
              hold: (what) => {
                held = what
                pairs.forEach(apply)
              },
              release: () => {
                held = undefined
                pairs.forEach(apply)
              },
              close: () => {
                listener.close()
                for (const { client, server } of pairs) {
                  client.destroy()
                  server.destroy()
                }
              }
            })
          })
        })
    ),
    ({ close }) => Effect.sync(close)
  )

export const heldCa = (caUrl: string) => {
  const { hostname: host, port } = new URL(caUrl)
  return Effect.map(heldWay({ host, port: Number(port) }), (way) => ({
    ...way,
    url: `https://127.0.0.1:${way.port}`
  }))
}
