/** What operators do with grants, on the database itself: what the server answers, and what commands do without one. */
import { includesScope, type OperatorScope } from "@mosaic-federation/domain/api/Access"
import { grantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import type { NewGrant } from "@mosaic-federation/domain/Grant"
import { type Grant } from "@mosaic-federation/domain/Grant"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import { ScopeInsufficient } from "@mosaic-federation/domain/ServerErrors"
import { GrantChanges } from "@mosaic-federation/issuance/GrantChanges"
import { type GrantFilter, GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import type { Lifetimes } from "@mosaic-federation/issuance/IssuanceConfig"
import { DateTime, Effect } from "effect"
import { TaskQueue } from "../TaskQueue.ts"
import { recordDocument } from "./certificateDocuments.ts"
import { explainGrant } from "./explainGrant.ts"
import type { GrantQuery, Holder } from "./GrantOperations.ts"

const standardPage = 100

/** Of the certificates shown with a grant. */
const shown = 20

const filterOf = (query: GrantQuery, now: DateTime.Utc): GrantFilter => ({
  ...(query.peer === undefined ? {} : { peer: query.peer }),
  ...(query.user === undefined ? {} : { subjectUserId: query.user }),
  ...(query.status === undefined ? {} : { status: query.status }),
  ...(query.expiring === undefined ? {} : { expiringBefore: DateTime.addDuration(now, query.expiring) }),
  ...(query.before === undefined ? {} : { before: query.before })
})

/**
 * `lifetimes` is read where it is needed: to look at grants, nothing of the CA need be set. `changed` hears of each grant
 * that is not what it was, before the answer and before the CA is asked.
 */
export const makeGrantsHere = Effect.fnUntraced(function* <E>(
  lifetimes: Effect.Effect<Lifetimes, E>,
  changed: (id: GrantId) => Effect.Effect<void> = () => Effect.void
) {
  const changes = yield* GrantChanges
  const grants = yield* GrantRepo
  const tasks = yield* TaskQueue

  const told = Effect.fnUntraced(function* <E>(change: Effect.Effect<Grant, E>) {
    const grant = yield* change
    yield* changed(grant.id)
    return grantDocument(grant, yield* DateTime.now)
  })

  return {
    create: Effect.fn("GrantOperations.create")(function* (grant: NewGrant) {
      const now = yield* DateTime.now
      if (DateTime.isLessThanOrEqualTo(grant.expiresAt, now)) {
        const problem = `body: expiresAt ${DateTime.formatIso(grant.expiresAt)} lies in the past`
        return yield* new RequestInvalid({ problem })
      }
      return grantDocument(yield* grants.create(grant), now)
    }),

    list: Effect.fn("GrantOperations.list")(function* (query: GrantQuery) {
      const now = yield* DateTime.now
      const limit = query.limit ?? standardPage
      // One more than is shown tells whether there is a next page.
      const found = yield* grants.list({ ...filterOf(query, now), limit: limit + 1 })
      const page = found.slice(0, limit)
      return {
        grants: page.map((grant) => grantDocument(grant, now)),
        next: found.length > limit ? (page.at(-1)?.id ?? null) : null
      }
    }),

    show: Effect.fn("GrantOperations.show")(function* (id: GrantId) {
      const [grant, certificates] = yield* Effect.all(
        [grants.find(id), grants.certificates({ grantId: id, limit: shown })],
        { concurrency: 2 }
      )
      return {
        ...grantDocument(grant, yield* DateTime.now),
        certificates: certificates.map(recordDocument)
      }
    }),

    /** `scope` is that of whoever asks: a later end takes an admin. */
    changeExpiry: Effect.fn("GrantOperations.changeExpiry")(function* (
      id: GrantId,
      expiresAt: DateTime.Utc,
      scope: OperatorScope
    ) {
      const now = yield* DateTime.now
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
      return yield* told(changes.changeExpiry(id, expiresAt, allow))
    }),

    suspend: Effect.fn("GrantOperations.suspend")((id: GrantId) => told(changes.suspend(id))),

    resume: Effect.fn("GrantOperations.resume")((id: GrantId) => told(changes.resume(id))),

    revoke: Effect.fn("GrantOperations.revoke")(function* (id: GrantId, reason: string) {
      const { caRevocations, grant, ...effect } = yield* grants.revoke(id, reason)
      yield* changed(id)
      return {
        ...grantDocument(grant, yield* DateTime.now),
        ...effect,
        caRevocations: yield* tasks.tryNow(caRevocations)
      }
    }),

    explain: Effect.fn("GrantOperations.explain")(function* (id: GrantId) {
      const grant = yield* grants.find(id)
      const at = yield* DateTime.now
      return { grant: grantDocument(grant, at), at, ...explainGrant(grant, yield* lifetimes, at) }
    }),

    revokeHolder: Effect.fn("GrantOperations.revokeHolder")(function* (
      holder: Holder,
      reason: string,
      dryRun: boolean
    ) {
      const { caRevocations, ended } = yield* changes.revokeHolder(
        "peer" in holder ? { _tag: "Peer", peer: holder.peer } : { _tag: "User", user: holder.user },
        reason,
        dryRun
      )
      if (!dryRun) yield* Effect.forEach(ended, ({ grant }) => changed(grant.id), { discard: true })
      const atTheCa = yield* tasks.tryNow(caRevocations)
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
        lastNotAfter: ends.length === 0 ? null : ends.reduce((a, b) => DateTime.max(a, b)),
        caRevocations: atTheCa
      }
    })
  }
})
