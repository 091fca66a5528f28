/** What an agent must know again after a restart: how the last tries went, and whether the hook has been told. */
import { withRemedy } from "@mosaic-federation/domain/ErrorClass"
import { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { Effect, Option, Schema } from "effect"
import type { Held, PeerDirectory } from "./PeerDirectory.ts"

const fileName = "agent.json"

const Instant = Schema.DateTimeUtcFromString

const AgentMemory = Schema.Struct({
  /** Of the certificate that this is about. */
  serial: Schema.String,
  /** Renewals since the directory was made. */
  renewals: Schema.Int,
  /** Tries in a row that brought no certificate. */
  failures: Schema.Int,
  lastTryAt: Schema.NullOr(Instant),
  /** Not before the last failure's pause is over; null where the certificate's own time holds. */
  nextTryAt: Schema.NullOr(Instant),
  error: Schema.NullOr(MosaicError),
  /** What that error says to do, where the gateway has another remedy for its callers than the class has. */
  remedy: Schema.optionalKey(Schema.NullOr(Schema.String)),
  hook: Schema.NullOr(
    Schema.Struct({
      serial: Schema.String,
      at: Instant,
      /** Null where it did its work. */
      error: Schema.NullOr(MosaicError),
      failures: Schema.Int
    })
  ),
  /** The hook at work, as long as the agent that began it runs. */
  hookRunning: Schema.optionalKey(Schema.NullOr(Schema.Struct({ serial: Schema.String, since: Instant })))
})

export type AgentMemory = typeof AgentMemory.Type

const Json = Schema.fromJsonString(Schema.toCodecJson(AgentMemory))
const decode = Schema.decodeUnknownOption(Json)
const encode = Schema.encodeSync(Json)

const fresh = (serial: string): AgentMemory => ({
  serial,
  renewals: 0,
  failures: 0,
  lastTryAt: null,
  nextTryAt: null,
  error: null,
  hook: null
})

/** A new certificate makes an end of what was wrong with the one before. */
export const recall = (directory: PeerDirectory, { by, leaf }: Held): AgentMemory => {
  const memory = Option.getOrUndefined(Option.flatMap(directory.read(fileName), decode))
  if (memory?.serial === leaf.serial) {
    const { error, remedy = null } = memory
    return error === null || remedy === null ? memory : { ...memory, error: withRemedy(error, remedy) }
  }
  const renewals = by === "renewal" ? (memory?.renewals ?? 0) + 1 : 0
  const hookRunning = memory?.hookRunning ?? null
  return { ...fresh(leaf.serial), renewals, hook: memory?.hook ?? null, hookRunning }
}

export const remember = (directory: PeerDirectory, memory: AgentMemory) =>
  Effect.suspend(() => {
    const remedy = memory.error?.remediation ?? null
    return directory.write(fileName, `${encode({ ...memory, remedy })}\n`)
  })
