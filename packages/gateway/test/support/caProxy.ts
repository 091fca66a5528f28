/** Stands before a real CA, under a TLS certificate of its own, and answers with another Date. */
import { request } from "node:https"
import { makeTlsServer } from "@mosaic-federation/testing/HostileServer"
import { makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { Effect } from "effect"

export const caProxy = Effect.fnUntraced(function* (
  ca: { readonly url: string; readonly rootPem: string },
  shiftMillis: number
) {
  const hour = 3_600_000
  const root = yield* makeRoot("Proxy Root", {
    notBefore: new Date(Date.now() - hour),
    notAfter: new Date(Date.now() + 8760 * hour)
  })
  const identity = yield* makeServerIdentity(root, { names: ["127.0.0.1"] })
  const server = yield* makeTlsServer(identity, (response, { body, method, path }) => {
    const onward = request(
      new URL(path, ca.url),
      { method, ca: ca.rootPem, headers: { "content-type": "application/json" } },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, {
          "content-type": "application/json",
          date: new Date(Date.parse(answer.headers.date ?? "") + shiftMillis).toUTCString()
        })
        answer.pipe(response)
      }
    )
    onward.on("error", () => response.destroy())
    onward.end(body)
  })
  return { url: `https://127.0.0.1:${server.port}`, rootPem: root.pem }
})
