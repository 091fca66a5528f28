/**
 * Puts refusals on the audit record that nothing else keeps within bounds: whoever is refused may come again as often as
 * they like, and whoever has proved nothing costs nothing to be. The first ones are recorded, and then one a minute, which
 * tells how many there were since. The log has every one.
 */
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { type AskedFor, isRefusal } from "@mosaic-federation/issuance/AuditRecord"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { Context, Duration, Effect, Layer } from "effect"
import { type RateLimit, RateLimits } from "../RateLimits.ts"
import { CurrentRecord } from "./RequestRecord.ts"

export interface Refusal {
  readonly error: unknown
  /** Who is refused, where that is proved, as `requester` has it; null counts with all others who have proved nothing. */
  readonly whose: string | null
  /** Read where it is recorded. */
  readonly event: Effect.Effect<Omit<AskedFor, "detail">>
}

const bound: RateLimit = { name: "audited-refusals", limit: 60, window: Duration.hours(1) }

export class AuditedRefusals extends Context.Service<
  AuditedRefusals,
  {
    /** Of a request that is answered with this error; what is no refusal is not recorded. */
    readonly note: (refusal: Refusal) => Effect.Effect<void>
  }
>()("@mosaic-federation/gateway/AuditedRefusals") {
  static readonly layerNoDeps = Layer.effect(
    AuditedRefusals,
    Effect.gen(function* () {
      const audit = yield* AuditRepo
      const limits = yield* RateLimits
      /** How many of each were not recorded since the last one that was, by this process. */
      const omitted = new Map<string, number>()

      const record = Effect.fnUntraced(function* (
        { code }: MosaicError,
        key: string,
        { event, whose }: Refusal
      ) {
        const { from, requestId } = yield* CurrentRecord
        const others = omitted.get(key) ?? 0
        omitted.delete(key)
        const detail = others === 0 ? `from ${from}` : `from ${from}; ${others} before it not recorded`
        yield* audit
          .refused({ ...(yield* event), detail }, code)
          .pipe(Effect.provideService(CurrentRequest, { requester: whose ?? "nobody", requestId }))
      })

      return AuditedRefusals.of({
        note: Effect.fn("AuditedRefusals.note")(function* (refusal) {
          const { error, whose } = refusal
          if (!isRefusal(error)) return
          if (whose !== null) (yield* CurrentRecord).requester = whose
          const key = whose ?? `nobody:${error.code}`
          yield* Effect.matchEffect(limits.count(bound, key), {
            onSuccess: () => record(error, key, refusal),
            onFailure: () => Effect.sync(() => void omitted.set(key, (omitted.get(key) ?? 0) + 1))
          })
        })
      })
    })
  )
}
