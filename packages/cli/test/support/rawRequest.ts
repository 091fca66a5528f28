/** Bytes to a server as they are, and what it answers until it ends the connection. */
import { connect } from "node:tls"
import { Effect } from "effect"

export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

const answerOf = (raw: string): RawAnswer => {
  const [head = "", ...body] = raw.split("\r\n\r\n")
  const [line = "", ...fields] = head.split("\r\n")
  const headers = fields.map((field) => {
    const colon = field.indexOf(":")
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const
  })
  return {
    status: Number(line.split(" ")[1]),
    headers: Object.fromEntries(headers),
    text: body.join("\r\n\r\n")
  }
}

export const rawRequest = (url: string, ca: string, text: string) =>
  Effect.promise(
    () =>
      new Promise<ReadonlyArray<RawAnswer>>((resolve, reject) => {
        const { hostname, port } = new URL(url)
        const socket = connect({ host: hostname, port: Number(port), ca }, () => socket.write(text))
        let received = ""
        socket.setEncoding("utf8")
        socket.on("data", (chunk: string) => (received += chunk))
        socket.once("error", reject)
        socket.once("close", () => {
          resolve(
            received
              .split(/(?=HTTP\/1\.1 \d{3} )/)
              .filter((one) => one !== "")
              .map(answerOf)
          )
        })
      })
  )
