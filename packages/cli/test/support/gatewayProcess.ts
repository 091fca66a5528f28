/** `mosaic gateway serve` as a process, and the typed client of its API. */
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { NodeHttpClient } from "@effect/platform-node"
import { EnrollmentAuth } from "@mosaic-federation/domain/api/EnrollmentAuth"
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { OperatorAuth } from "@mosaic-federation/domain/api/OperatorAuth"
import { Effect, Layer, type Scope } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { documentOf, type Extra, mosaic, start, type Station } from "./mosaic.ts"

interface LogLine extends Readonly<Record<string, unknown>> {
  readonly level: string
  readonly message: string
}

export interface GatewayProcess {
  /** `https://127.0.0.1:PORT` */
  readonly url: string
  readonly pid: number
  /** What it has logged so far. */
  readonly log: () => ReadonlyArray<LogLine>
  /** Waits for a line of the log, one that is there already included. */
  readonly logged: (isIt: (line: LogLine) => boolean) => Effect.Effect<LogLine>
  /** Closes the reading end of its log, as a collector of logs that goes away does. */
  readonly leaveLog: () => void
  /** Its exit code; null where the signal ended it. */
  readonly end: (signal: NodeJS.Signals) => Effect.Effect<number | null>
}

/** For a machine that is busy with much else. */
const patience = 120_000

const isLogLine = (text: string) => text.startsWith("{")

/** Ready when this returns; what it says instead where it does not come up is in the error. */
export const startGateway = (
  where: Station,
  extra: Extra = {},
  ...args: ReadonlyArray<string>
): Effect.Effect<GatewayProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const listen = args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"]
      const child = start(where, ["gateway", "serve", ...listen, "--json", ...args], {
        MOSAIC_DRAIN_DELAY: "0s",
        ...extra
      })
      // Not at its exit: the last lines of its log may be unread then.
      const exited = new Promise<number | null>((resolve) => child.once("close", resolve))
      const lines: Array<LogLine> = []
      const other: Array<string> = []
      const waiting = new Set<(line: LogLine) => void>()
      createInterface({ input: child.stderr }).on("line", (text) => {
        if (!isLogLine(text)) return void other.push(text)
        const line = JSON.parse(text) as LogLine
        lines.push(line)
        for (const tell of waiting) tell(line)
      })
      const stdout = createInterface({ input: child.stdout })
      const [ready, ...rest] = await Promise.race([
        new Promise<ReadonlyArray<string>>((resolve) => stdout.once("line", (line) => resolve([line]))),
        exited.then((code) => ["", `ended with ${String(code)}`, ...other])
      ])
      if (ready === undefined || ready === "" || rest.length > 0) throw new Error(rest.join("\n"))
      const { pid, url } = JSON.parse(ready) as { readonly pid?: number; readonly url?: string }
      if (pid === undefined || url === undefined) throw new Error(ready)
      const gateway: GatewayProcess = {
        url,
        pid,
        log: () => lines,
        logged: (isIt) =>
          Effect.promise(
            () =>
              new Promise<LogLine>((resolve, reject) => {
                const there = lines.find(isIt)
                if (there !== undefined) return resolve(there)
                const timer = setTimeout(
                  () =>
                    reject(new Error(`not logged in time; the log ends ${JSON.stringify(lines.slice(-3))}`)),
                  patience
                )
                const tell = (line: LogLine) => {
                  if (!isIt(line)) return
                  clearTimeout(timer)
                  waiting.delete(tell)
                  resolve(line)
                }
                waiting.add(tell)
              })
          ),
        leaveLog: () => void child.stderr.destroy(),
        end: (signal) =>
          Effect.promise(() => {
            child.kill(signal)
            return exited
          })
      }
      return gateway
    }),
    (gateway) => Effect.asVoid(gateway.end("SIGKILL"))
  )

/** Made by the command, where the database is. */
export const makeKey = (
  where: Station,
  scope: "read" | "issue" | "admin",
  ...options: ReadonlyArray<string>
) =>
  Effect.map(
    mosaic(where, [
      "gateway",
      "key",
      "create",
      "--name",
      `test-${scope}`,
      "--scope",
      scope,
      ...options,
      "--json"
    ]),
    ({ stdout }) => documentOf<{ readonly id: string; readonly key: string }>(stdout)
  )

export interface ClientOptions {
  readonly rootPath: string
  /** Sent as bearer token: an API key, a JWT or an enrollment token. */
  readonly bearer?: string
  /** Of a peer, in PEM. */
  readonly certificate?: { readonly cert: string; readonly key: string }
  readonly headers?: Readonly<Record<string, string>>
}

/** The transport that trusts the root alone. */
export const layerTransport = ({ certificate, rootPath }: ClientOptions) =>
  NodeHttpClient.layerUndiciNoDispatcher.pipe(
    Layer.provide(
      NodeHttpClient.layerDispatcherOptions({
        connect: { ca: readFileSync(rootPath, "utf8"), ...certificate },
        allowH2: false
      })
    )
  )

/** The typed client, for as long as the scope. */
export const clientOf = Effect.fnUntraced(function* (url: string, options: ClientOptions) {
  const { bearer = "", headers = {} } = options
  const authorize: HttpApiMiddleware.HttpApiMiddlewareClient<never, never, never> = ({ next, request }) =>
    next(bearer === "" ? request : HttpClientRequest.bearerToken(request, bearer))
  const services = yield* Layer.build(
    Layer.mergeAll(
      layerTransport(options),
      HttpApiMiddleware.layerClient(OperatorAuth, authorize),
      HttpApiMiddleware.layerClient(EnrollmentAuth, authorize)
    )
  )
  const transformClient = HttpClient.mapRequest(HttpClientRequest.setHeaders(headers))
  return yield* Effect.provide(HttpApiClient.make(GatewayApi, { baseUrl: url, transformClient }), services)
})
