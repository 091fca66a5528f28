/** What operators do with grants, over HTTP. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { CurrentOperator } from "@mosaic-federation/domain/api/OperatorAuth"
import { NewGrant, type PeerName } from "@mosaic-federation/domain/Grant"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import type { UserId } from "@mosaic-federation/domain/UserId"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { GrantStatusCache } from "../GrantStatusCache.ts"
import type { Holder } from "../operator/GrantOperations.ts"
import { makeGrantsHere } from "../operator/grantsHere.ts"

const holderOf = (peer: PeerName | undefined, user: UserId | undefined): Holder | undefined => {
  if (peer !== undefined) return user === undefined ? { peer } : undefined
  return user === undefined ? undefined : { user }
}

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "grants",
  Effect.fn(function* (handlers) {
    const { lifetimes } = yield* IssuanceConfig
    const cache = yield* GrantStatusCache
    // Whoever has made a change sees it in the very next status, at whichever replica.
    const grants = yield* makeGrantsHere(Effect.succeed(lifetimes), cache.forget)

    return handlers.handleAll({
      create: ({ payload }) => grants.create(new NewGrant(payload)),

      list: ({ query }) => grants.list(query),

      get: ({ params }) => grants.show(params.id),

      status: ({ params }) => cache.status(params.id),

      changeExpiry: Effect.fnUntraced(function* ({ params, payload }) {
        const { scope } = yield* CurrentOperator
        return yield* grants.changeExpiry(params.id, payload.expiresAt, scope)
      }),

      suspend: ({ params }) => grants.suspend(params.id),

      resume: ({ params }) => grants.resume(params.id),

      revoke: ({ params, payload }) => grants.revoke(params.id, payload.reason),

      explain: ({ params }) => grants.explain(params.id),

      revokeHolder: Effect.fnUntraced(function* ({ payload }) {
        const { dryRun = false, peer, reason, user } = payload
        const holder = holderOf(peer, user)
        if (holder === undefined) {
          return yield* new RequestInvalid({ problem: "body: give one of peer and user" })
        }
        return yield* grants.revokeHolder(holder, reason, dryRun)
      })
    })
  })
)
