/** A way to the CA that a test can close: what is sent stays unsent, or what is answered stays unread. TLS passes through. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { Effect } from "effect"

export interface HeldCa {
  readonly url: string
  /** From now on the CA hears nothing, or nobody hears the CA. */
  readonly hold: (what: "requests" | "answers") => void
  readonly release: () => void
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
}

export const heldCa = (caUrl: string) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<HeldCa & { readonly close: () => void }>((resolve) => {
          const { hostname, port } = new URL(caUrl)
          const pairs = new Set<Pair>()
          let held: "requests" | "answers" | undefined
          const apply = ({ client, server }: Pair) => {
            if (held === "requests") client.pause()
            else client.resume()
            if (held === "answers") server.pause()
            else server.resume()
          }
          const listener = createServer((client) => {
            const pair = { client, server: connect(Number(port), hostname) }
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
              url: `https://127.0.0.1:${(listener.address() as AddressInfo).port}`,
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
