/** The audit record over HTTP: entries that are sealed, and their chain with the heads that were signed of it. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { AuditKey } from "@mosaic-federation/issuance/AuditKey"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { DateTime, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"

const standardPage = 100

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "audit",
  Effect.fn(function* (handlers) {
    const audit = yield* AuditRepo
    const key = yield* AuditKey
    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query }) {
        const { grant, limit = standardPage, order, ...between } = query
        const filter = { ...between, limit, ...(grant === undefined ? {} : { grantId: grant }) }
        if (order !== "newest") return { entries: yield* audit.entries(filter) }
        return { entries: (yield* audit.tail(filter)).toReversed() }
      }),

      chain: Effect.fnUntraced(function* ({ query }) {
        const { after = 0, limit = standardPage } = query
        return { links: yield* audit.links(after, limit) }
      }),

      head: Effect.fnUntraced(function* () {
        const { head, unsealed } = yield* audit.state
        return { ...key.sign("head", head, DateTime.formatIso(yield* DateTime.now)), unsealed }
      }),

      heads: Effect.fnUntraced(function* () {
        return { checkpoint: yield* audit.checkpoint, heads: yield* audit.heads }
      })
    })
  })
)
