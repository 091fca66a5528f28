/** The audit record over HTTP: entries that are sealed, and the head of their chain. */
import type { AuditEntryDocument } from "@mosaic-federation/domain/api/AuditApi"
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import type { AuditEntry } from "@mosaic-federation/issuance/AuditChain"
import { AuditKey } from "@mosaic-federation/issuance/AuditKey"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { DateTime, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"

const standardPage = 100

const entryDocument = (entry: AuditEntry): typeof AuditEntryDocument.Type => ({
  ...entry,
  at: DateTime.makeUnsafe(entry.at)
})

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "audit",
  Effect.fn(function* (handlers) {
    const audit = yield* AuditRepo
    const key = yield* AuditKey
    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query }) {
        const { after = 0, limit = standardPage } = query
        return { entries: (yield* audit.entries({ after, limit })).map(entryDocument) }
      }),

      head: Effect.fnUntraced(function* () {
        const { head, unsealed } = yield* audit.state
        const { at, ...signed } = key.sign("head", head, DateTime.formatIso(yield* DateTime.now))
        return { ...signed, at: DateTime.makeUnsafe(at), unsealed }
      })
    })
  })
)
