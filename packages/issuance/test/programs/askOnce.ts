/**
 * Asks one server twice: once as any program of this process would, by `fetch`, and once by the pinned client. Prints
 * both outcomes as JSON. The process's environment is what is tested.
 */
import tls from "node:tls"
import { Effect } from "effect"
import { Agent, setGlobalDispatcher } from "undici"
import { PinnedHttpClient } from "../../src/PinnedHttpClient.ts"

export interface Question {
  readonly url: string
  readonly rootPem: string
  /** What an embedding program does to the process before. */
  readonly meddling?: "setDefaultCACertificates" | "setGlobalDispatcher" | "DEFAULT_MIN_VERSION"
  readonly otherRootPem: string
}

export interface Outcome {
  readonly ordinary: string
  readonly pinned: string
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause ? String(cause.code) : String(cause)

const meddle = ({ meddling, otherRootPem }: Question) => {
  switch (meddling) {
    case "setDefaultCACertificates":
      return tls.setDefaultCACertificates([otherRootPem])
    case "setGlobalDispatcher":
      return setGlobalDispatcher(new Agent({ connect: { rejectUnauthorized: false } }))
    case "DEFAULT_MIN_VERSION":
      return Object.assign(tls, { DEFAULT_MIN_VERSION: "TLSv1" })
    case undefined:
      return undefined
  }
}

const ask = async (question: Question): Promise<Outcome> => {
  meddle(question)
  const ordinary = await fetch(question.url).then(
    ({ status }) => String(status),
    (error: unknown) => codeOf(error instanceof Error ? error.cause : error)
  )
  const pinned = await Effect.gen(function* () {
    const client = yield* PinnedHttpClient.make({
      baseUrl: new URL(question.url),
      rootsPem: [question.rootPem]
    })
    return yield* client.request({ method: "GET", path: "/" })
  }).pipe(
    Effect.match({ onSuccess: ({ status }) => String(status), onFailure: ({ message }) => message }),
    Effect.scoped,
    Effect.runPromise
  )
  return { ordinary, pinned }
}

const outcome = await ask(JSON.parse(process.argv[2] ?? "") as Question)
process.stdout.write(`${JSON.stringify(outcome)}\n`)
