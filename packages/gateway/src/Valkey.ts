/**
 * The connection to the Valkey that replicas share. It never makes anybody wait for it: a command fails at once while
 * the server is away and after a second where it does not answer, and every user has another way. The connection is
 * made anew in the background, and each one has a number, so that users can tell that there was a gap.
 */
import { readFile } from "node:fs/promises"
import { Context, DateTime, Deferred, Duration, Effect, Exit, Layer, Metric, Redacted } from "effect"
import * as Redis from "effect/persistence/Redis"
import { createClient, ErrorReply } from "redis"
import type { QueueAddress } from "./QueueUrl.ts"
import { valkeyUp } from "./server/Metrics.ts"

export type ValkeyHealth =
  | { readonly state: "up"; readonly since: DateTime.Utc }
  | { readonly state: "away"; readonly since: DateTime.Utc; readonly reason: string }

export interface ValkeyOptions {
  /** How long a command or a connection may take; 1 s by default. */
  readonly patience?: Duration.Duration
  /** How often the server is asked whether it still answers and takes writes; 2 s by default. */
  readonly heartbeat?: Duration.Duration
}

const clientFor = (
  { database, host, password, port, tls, username }: QueueAddress,
  patience: Duration.Duration,
  ca: Buffer | undefined
) => {
  const socket = {
    host,
    port,
    connectTimeout: Duration.toMillis(patience),
    reconnectStrategy: false as const
  }
  return createClient({
    socket: tls ? { ...socket, tls, servername: host, ...(ca === undefined ? {} : { ca }) } : socket,
    database,
    disableOfflineQueue: true,
    // A feature of Redis Enterprise.
    maintNotifications: "disabled",
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password: Redacted.value(password) })
  })
}

type Client = ReturnType<typeof clientFor>

interface Session {
  readonly number: number
  readonly client: Client
  readonly lost: Deferred.Deferred<never, string>
}

const notYet = "not connected yet"

const shortestPause = 200
const longestPause = 3000

/** A server that takes no writes (full, a replica, its disk failed, no rights) is of no more use than none. */
const refusesWrites = /^(?:OOM|READONLY|MISCONF|LOADING|MASTERDOWN|NOAUTH|NOPERM|NOREPLICAS)\b/

const sentence = (cause: unknown): string => {
  if (cause instanceof AggregateError && cause.message === "") return cause.errors.map(sentence).join("; ")
  return cause instanceof Error ? cause.message : String(cause)
}

export class Valkey extends Context.Service<
  Valkey,
  {
    readonly health: Effect.Effect<ValkeyHealth>
    /** The number of the connection; another number means that commands may have been lost since. Undefined: away. */
    readonly session: Effect.Effect<number | undefined>
  }
>()("@mosaic-federation/gateway/Valkey") {
  /** Also provides `Redis`, for the engines of `effect/persistence`. Starts without a server as well, as away. */
  static readonly layer = (
    address: QueueAddress,
    { heartbeat = Duration.seconds(2), patience = Duration.seconds(1) }: ValkeyOptions = {}
  ) =>
    Layer.effectContext(
      Effect.gen(function* () {
        let health: ValkeyHealth = { state: "away", since: yield* DateTime.now, reason: notYet }
        let current: Session | undefined
        let sessions = 0

        const noAnswer = `no answer within ${Duration.format(patience)}`

        const open = Effect.gen(function* () {
          const { rootCertificate } = address
          if (rootCertificate === null) return clientFor(address, patience, undefined)
          const ca = yield* Effect.tryPromise({ try: () => readFile(rootCertificate), catch: sentence })
          return clientFor(address, patience, ca)
        })

        const probe = (client: Client) =>
          Effect.tryPromise({
            try: () => client.sendCommand(["SET", "mosaic:probe", "1", "EX", "60"]),
            catch: sentence
          }).pipe(Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(noAnswer) }))

        const goUp = Effect.fnUntraced(function* (session: Session) {
          const away = health
          yield* Metric.update(valkeyUp, 1)
          health = { state: "up", since: yield* DateTime.now }
          current = session
          if (away.state === "away" && away.reason !== notYet) yield* Effect.logInfo("Valkey is back")
        })

        /** Told once for each outage, and again where its reason changes. */
        const goAway = Effect.fnUntraced(function* (reason: string) {
          const before = health
          current = undefined
          yield* Metric.update(valkeyUp, 0)
          if (before.state === "away" && before.reason === reason) return
          health = {
            state: "away",
            since: before.state === "away" ? before.since : yield* DateTime.now,
            reason
          }
          yield* Effect.logWarning("Valkey is away: everything goes on without it, slower", {
            host: address.host,
            port: address.port,
            code: "VALKEY_UNAVAILABLE",
            reason
          })
        })

        const connected = Effect.gen(function* () {
          const client = yield* Effect.acquireRelease(open, (client) =>
            Effect.sync(() => {
              // `close` would wait for answers that may never come.
              if (client.isOpen) client.destroy()
            })
          )
          const lost = yield* Deferred.make<never, string>()
          client.on("error", (cause) => Deferred.doneUnsafe(lost, Exit.fail(sentence(cause))))
          client.on("end", () => Deferred.doneUnsafe(lost, Exit.fail("the connection was closed")))
          yield* Effect.tryPromise({ try: () => client.connect(), catch: sentence }).pipe(
            Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(noAnswer) })
          )
          yield* probe(client)
          sessions += 1
          yield* goUp({ number: sessions, client, lost })
          return { client, lost }
        })

        const firstTry = yield* Deferred.make<void>()
        let pause = shortestPause

        const oneSession = Effect.gen(function* () {
          const { client, lost } = yield* connected
          pause = shortestPause
          yield* Deferred.succeed(firstTry, undefined)
          const beats = Effect.forever(Effect.andThen(Effect.sleep(heartbeat), probe(client)))
          return yield* Effect.raceFirst(Deferred.await(lost), beats)
        }).pipe(
          Effect.scoped,
          Effect.catch(goAway),
          Effect.andThen(Deferred.succeed(firstTry, undefined)),
          Effect.andThen(Effect.suspend(() => Effect.sleep(pause))),
          Effect.tap(() =>
            Effect.sync(() => {
              pause = Math.min(pause * 2, longestPause)
            })
          )
        )
        yield* Effect.forkScoped(Effect.forever(oneSession))
        yield* Deferred.await(firstTry)

        const lose = (session: Session, reason: string) => {
          if (current === session) current = undefined
          return Deferred.fail(session.lost, reason)
        }

        const fail = (cause: unknown) => Effect.fail(new Redis.RedisError({ cause }))

        const send = <A = unknown>(command: string, ...args: ReadonlyArray<string>) =>
          Effect.suspend(() => {
            const session = current
            if (session === undefined) {
              return fail(
                new Error(health.state === "away" ? `Valkey is away: ${health.reason}` : "Valkey is away")
              )
            }
            return Effect.tryPromise({
              try: () => session.client.sendCommand<A>([command, ...args]),
              catch: (cause) => cause
            }).pipe(
              Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(new Error(noAnswer)) }),
              Effect.catch((cause) =>
                cause instanceof ErrorReply && !refusesWrites.test(cause.message)
                  ? fail(cause)
                  : Effect.andThen(lose(session, sentence(cause)), fail(cause))
              )
            )
          })

        const redis = yield* Redis.make({
          send,
          subscribe: () => fail(new Error("this connection carries no subscriptions"))
        })

        return Context.make(Redis.Redis, redis).pipe(
          Context.add(
            Valkey,
            Valkey.of({
              health: Effect.sync(() => health),
              session: Effect.sync(() => current?.number)
            })
          )
        )
      })
    )
}
