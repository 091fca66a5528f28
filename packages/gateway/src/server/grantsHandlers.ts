/** What operators do with grants, over HTTP. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { grantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { includesScope } from "@mosaic-federation/domain/api/Access"
import { CurrentOperator } from "@mosaic-federation/domain/api/OperatorAuth"
import { type Grant, NewGrant } from "@mosaic-federation/domain/Grant"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import { ScopeInsufficient } from "@mosaic-federation/domain/ServerErrors"
import { GrantChanges, type Holder } from "@mosaic-federation/issuance/GrantChanges"
import { type GrantFilter, GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { DateTime, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { GrantStatusCache } from "../GrantStatusCache.ts"
import { TaskQueue } from "../TaskQueue.ts"
import { recordDocument } from "./certificateDocuments.ts"
import { explainGrant } from "./explainGrant.ts"

const standardPage = 100

/** Of the certificates shown with a grant. */
const shown = 20

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "grants",
  Effect.fn(function* (handlers) {
    const cache = yield* GrantStatusCache
    const changes = yield* GrantChanges
    const grants = yield* GrantRepo
    const { lifetimes } = yield* IssuanceConfig
    const tasks = yield* TaskQueue

    /** Whoever has made a change sees it in the very next status, at whichever replica. */
    const told = <E>(change: Effect.Effect<Grant, E>) =>
      Effect.gen(function* () {
        const grant = yield* change
        yield* cache.forget(grant.id)
        return grantDocument(grant, yield* DateTime.now)
      })

    return handlers.handleAll({
      create: Effect.fnUntraced(function* ({ payload }) {
        const now = yield* DateTime.now
        if (DateTime.isLessThanOrEqualTo(payload.expiresAt, now)) {
          const problem = `body: expiresAt ${DateTime.formatIso(payload.expiresAt)} lies in the past`
          return yield* new RequestInvalid({ problem })
        }
        return grantDocument(yield* grants.create(new NewGrant(payload)), now)
      }),

      list: Effect.fnUntraced(function* ({ query }) {
        const now = yield* DateTime.now
        const limit = query.limit ?? standardPage
        const filter: GrantFilter = {
          // One more than is shown tells whether there is a next page.
          limit: limit + 1,
          ...(query.peer === undefined ? {} : { peer: query.peer }),
          ...(query.user === undefined ? {} : { subjectUserId: query.user }),
          ...(query.status === undefined ? {} : { status: query.status }),
          ...(query.expiring === undefined
            ? {}
            : { expiringBefore: DateTime.addDuration(now, query.expiring) }),
          ...(query.before === undefined ? {} : { before: query.before })
        }
        const found = yield* grants.list(filter)
        const page = found.slice(0, limit)
        return {
          grants: page.map((grant) => grantDocument(grant, now)),
          next: found.length > limit ? (page.at(-1)?.id ?? null) : null
        }
      }),

      get: Effect.fnUntraced(function* ({ params }) {
        const [grant, certificates] = yield* Effect.all(
          [grants.find(params.id), grants.certificates({ grantId: params.id, limit: shown })],
          { concurrency: 2 }
        )
        return {
          ...grantDocument(grant, yield* DateTime.now),
          certificates: certificates.map(recordDocument)
        }
      }),

      status: ({ params }) => cache.status(params.id),

      changeExpiry: Effect.fnUntraced(function* ({ params, payload }) {
        const now = yield* DateTime.now
        const { expiresAt } = payload
        const { scope } = yield* CurrentOperator
        if (DateTime.isLessThanOrEqualTo(expiresAt, now)) {
          const problem = `body: expiresAt ${DateTime.formatIso(expiresAt)} lies in the past; to end a grant, revoke it`
          return yield* new RequestInvalid({ problem })
        }
        const allow = (grant: Grant) =>
          DateTime.isGreaterThan(expiresAt, grant.expiresAt) && !includesScope(scope, "admin")
            ? Effect.fail(
                new ScopeInsufficient({ needed: "admin", held: scope, action: "a later end of a grant" })
              )
            : Effect.void
        return yield* told(changes.changeExpiry(params.id, expiresAt, allow))
      }),

      suspend: Effect.fnUntraced(function* ({ params }) {
        return yield* told(changes.suspend(params.id))
      }),

      resume: Effect.fnUntraced(function* ({ params }) {
        return yield* told(changes.resume(params.id))
      }),

      revokeHolder: Effect.fnUntraced(function* ({ payload }) {
        const { dryRun = false, peer, reason, user } = payload
        const holder: Holder | undefined =
          peer !== undefined && user === undefined
            ? { _tag: "Peer", peer }
            : user !== undefined && peer === undefined
              ? { _tag: "User", user }
              : undefined
        if (holder === undefined) {
          return yield* new RequestInvalid({ problem: "body: give one of peer and user" })
        }
        const { caRevocations, ended } = yield* changes.revokeHolder(holder, reason, dryRun)
        if (!dryRun) yield* Effect.forEach(ended, ({ grant }) => cache.forget(grant.id), { discard: true })
        yield* tasks.tryNow(caRevocations)
        const now = yield* DateTime.now
        const ends = ended.flatMap(({ lastNotAfter }) => (lastNotAfter === null ? [] : [lastNotAfter]))
        return {
          dryRun,
          grants: ended.map(({ grant, lastNotAfter, liveCertificates }) => ({
            grant: grantDocument(grant, now),
            liveCertificates,
            lastNotAfter
          })),
          liveCertificates: ended.reduce((sum, { liveCertificates }) => sum + liveCertificates, 0),
          lastNotAfter: ends.length === 0 ? null : ends.reduce((a, b) => DateTime.max(a, b))
        }
      }),

      revoke: Effect.fnUntraced(function* ({ params, payload }) {
        const { caRevocations, grant, ...effect } = yield* grants.revoke(params.id, payload.reason)
        yield* cache.forget(params.id)
        return {
          ...grantDocument(grant, yield* DateTime.now),
          ...effect,
          caRevocations: yield* tasks.tryNow(caRevocations)
        }
      }),

      explain: Effect.fnUntraced(function* ({ params }) {
        const grant = yield* grants.find(params.id)
        const at = yield* DateTime.now
        return { grant: grantDocument(grant, at), at, ...explainGrant(grant, lifetimes, at) }
      })
    })
  })
)
