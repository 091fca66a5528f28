/** Valkey lets the gateway in and takes a write. Without it everything goes on, slower; yet it is a part of the tier. */
import { Effect } from "effect"
import * as Redis from "effect/persistence/Redis"
import { Valkey } from "../../Valkey.ts"
import { type Check, failed, type Remedy, remedy } from "../Check.ts"
import { upCommand } from "../compose.ts"
import { Subject } from "../Subject.ts"

const sourceOf = ({ settings }: Subject["Service"]) => settings.queue?.source ?? "REDIS_URL"

const address = ({ queue }: Subject["Service"]) => (queue === null ? "" : `${queue.host}:${queue.port}`)

/** valkey-cli takes the password from VALKEYCLI_AUTH. */
const cli = ({ queue }: Subject["Service"], words: string) =>
  queue === null
    ? "mosaic config show"
    : `valkey-cli -h ${queue.host} -p ${queue.port}${queue.tls ? " --tls" : ""} ${words}`

const remedyFor = (reason: string, subject: Subject["Service"]): Remedy => {
  if (/WRONGPASS|NOAUTH|NOPERM/.test(reason)) {
    return remedy(
      `put the password that the server knows into ${sourceOf(subject)}; to see what holds now`,
      "mosaic config show"
    )
  }
  if (/OOM|MISCONF|READONLY|LOADING/.test(reason)) {
    return remedy("the server takes no writes: see why", cli(subject, "info"))
  }
  return remedy(`start the server, or correct ${sourceOf(subject)}`, upCommand("valkey-federated"))
}

const fieldsOf = (info: string) =>
  new Map(info.split(/\r?\n/).map((line) => [line.split(":", 1)[0] ?? "", line.slice(line.indexOf(":") + 1)]))

export const valkey: Check = {
  id: "valkey",
  name: "valkey",
  needs: [],
  detail: address,
  ifSilent: (subject) =>
    remedy("see whether Valkey is what listens there, and is not overloaded", cli(subject, "ping")),
  run: () =>
    Effect.gen(function* () {
      const subject = yield* Subject
      const services = yield* subject.valkey
      const away = (reason: string) =>
        failed({
          code: "VALKEY_UNAVAILABLE",
          problem: `${address(subject)}: ${reason}`,
          remedy: remedyFor(reason, subject)
        })
      const health = yield* Effect.provide(
        Valkey.use((server) => server.health),
        services
      )
      if (health.state === "away") return yield* away(health.reason)
      const info = yield* Redis.Redis.use((redis) => redis.send<string>("INFO")).pipe(
        Effect.provide(services),
        Effect.mapError(({ cause }) => away(cause instanceof Error ? cause.message : String(cause)))
      )
      const fields = fieldsOf(info)
      return {
        evidence: {
          version: fields.get("valkey_version") ?? fields.get("redis_version") ?? null,
          appendOnly: fields.get("aof_enabled") === "1",
          usedBytes: Number(fields.get("used_memory") ?? 0),
          source: sourceOf(subject)
        }
      }
    })
}
