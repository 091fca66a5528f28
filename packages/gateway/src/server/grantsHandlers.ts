/** What operators do with grants, over HTTP. */
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { grantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { NewGrant } from "@mosaic-federation/domain/Grant"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import { type GrantFilter, GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { DateTime, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { TaskQueue } from "../TaskQueue.ts"
import { recordDocument } from "./certificateDocuments.ts"
import { explainGrant } from "./explainGrant.ts"

const standardPage = 100

/** Of the certificates shown with a grant. */
const shown = 20

const notYet = () => Effect.die(new Error("not yet"))

export const layer = HttpApiBuilder.group(
  GatewayApi,
  "grants",
  Effect.fn(function* (handlers) {
    const grants = yield* GrantRepo
    const { lifetimes } = yield* IssuanceConfig
    const tasks = yield* TaskQueue

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

      changeExpiry: notYet,
      suspend: notYet,
      resume: notYet,
      revokeHolder: notYet,

      revoke: Effect.fnUntraced(function* ({ params, payload }) {
        const { caRevocations, grant, ...effect } = yield* grants.revoke(params.id, payload.reason)
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
