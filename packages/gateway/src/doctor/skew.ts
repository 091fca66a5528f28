/**
 * How far this machine's clock is from others'. A difference is positive where ours is ahead; of each it is known within
 * the time that the question took. Whether it matters is left to the checks.
 */
import { serverClock } from "@mosaic-federation/issuance/DatabaseReport"
import { leewaySeconds } from "@mosaic-federation/issuance/TokenDiagnosis"
import { Clock, Effect, Option } from "effect"
import * as Redis from "effect/persistence/Redis"
import { Blocked, type Circumstances } from "./Check.ts"
import { Subject } from "./Subject.ts"

export interface Skew {
  readonly peer: string
  /** Ours less theirs. */
  readonly millis: number
  /** It lies within this much of it, either way. */
  readonly uncertainty: number
}

/** What the CA allows for in a token, and we in the others' clocks. */
export const leeway = leewaySeconds * 1000

/** `theirs` was true at some moment between the question and the answer, and is at most `step` behind. */
export const measure = <E, R>(peer: string, step: number, ask: Effect.Effect<number, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeMillis
    const theirs = yield* ask
    const after = yield* Clock.currentTimeMillis
    return {
      peer,
      millis: Math.round((before + after) / 2 - (theirs + step / 2)),
      uncertainty: Math.ceil((after - before + step) / 2)
    } satisfies Skew
  })

export const beyond = (limit: number) => (skew: Skew) => Math.abs(skew.millis) - skew.uncertainty > limit

/** From PostgreSQL and Valkey, those of them that answer. */
export const serverSkews = Effect.fnUntraced(function* ({ passes }: Circumstances) {
  const subject = yield* Subject
  const askPostgres = Effect.flatMap(subject.database, (services) => Effect.provide(serverClock, services))
  const askValkey = Effect.gen(function* () {
    const services = yield* subject.valkey
    const [whole = "", micros = ""] = yield* Effect.provide(
      Redis.Redis.use((redis) => redis.send<ReadonlyArray<string>>("TIME")),
      services
    )
    return Number(whole) * 1000 + Number(micros) / 1000
  })
  const [postgres, valkey] = yield* Effect.all([passes("postgres"), passes("valkey")], {
    concurrency: "unbounded"
  })
  const answers = yield* Effect.all(
    [
      ...(postgres ? [Effect.option(measure("postgres", 0, askPostgres))] : []),
      ...(valkey ? [Effect.option(measure("valkey", 0, askValkey))] : [])
    ],
    { concurrency: "unbounded" }
  )
  return answers.flatMap(Option.toArray)
})

/**
 * Certificates are of another time where the clock is: then nothing is known of them, and what has failed is the clock.
 * The CA cannot be asked for its own, for want of a connection that could be trusted.
 */
export const blockedByClock = Effect.fnUntraced(function* (circumstances: Circumstances) {
  const skews = yield* serverSkews(circumstances)
  if (skews.some(beyond(leeway))) return yield* new Blocked({ needs: "clock" })
})
