/** A request whose body is on its way for as long as a test wants it to be. */
import { request } from "node:https"
import { text } from "node:stream/consumers"
import { Effect } from "effect"

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly text: string
}

export const stalledRequest = (
  url: string,
  options: { readonly ca: string; readonly bearer: string; readonly body: string }
) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const { bearer, body, ca } = options
        const sent = request(url, {
          method: "POST",
          ca,
          agent: false,
          headers: {
            authorization: `Bearer ${bearer}`,
            "content-type": "application/json",
            "content-length": Buffer.byteLength(body)
          }
        })
        const answered = new Promise<Answer>((resolve, reject) => {
          sent.once("error", reject)
          sent.once("response", (response) => {
            void text(response).then((body) =>
              resolve({ status: response.statusCode ?? 0, headers: response.headers, text: body })
            )
          })
        })
        answered.catch(() => undefined)
        const closed = new Promise<void>((resolve) => sent.once("close", resolve))
        await new Promise<void>((resolve, reject) => {
          sent.once("error", reject)
          sent.write(body.slice(0, 1), () => resolve())
        })
        return { sent, answered, closed, rest: body.slice(1) }
      }),
      ({ sent }) => Effect.sync(() => sent.destroy())
    ),
    ({ answered, closed, rest, sent }) => ({
      /** Sends what is left of the body. */
      finish: Effect.sync(() => void sent.end(rest)),
      answer: Effect.promise(() => answered),
      /** Ends when the connection does. */
      closed: Effect.promise(() => closed)
    })
  )
