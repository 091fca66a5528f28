/**
 * A grant that is made to be tried and removed: the doctor's. It is told by its peer, which no real grant names, and by
 * nothing else is a grant ever deleted. Issuing for it and revoking it are done as for every other.
 */
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { UserId } from "@mosaic-federation/domain/UserId"
import { randomUUID } from "node:crypto"
import type { Duration } from "effect"
import { DateTime, Effect, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { rowsOf } from "./internal/rowsOf.ts"
import { transactionOn } from "./internal/transactionOn.ts"

/** No host name ends so (RFC 6761 §6.4). */
const peer = PeerName.make("mosaic-doctor.invalid")

/** For a user that does not exist, ending soon. */
export const throwAwayGrant = Effect.fnUntraced(function* (lifetime: Duration.Duration) {
  return new NewGrant({
    subjectUserId: UserId.make(randomUUID()),
    peer,
    scopes: [],
    expiresAt: DateTime.addDuration(yield* DateTime.now, lifetime)
  })
})

const GrantRow = Schema.Struct({ id: GrantId })

/** Nobody is at work on one that is this old. */
const abandonedAfter = "10 minutes"

/** Those that a doctor left which was killed. */
export const abandonedThrowAways = Effect.gen(function* () {
  const sql = yield* SqlClient
  const rows = yield* rowsOf(
    "look for throw-away grants",
    GrantRow,
    sql`
      SELECT id FROM federation_grants
      WHERE peer = ${peer} AND created_at < now() - ${abandonedAfter}::interval ORDER BY created_at LIMIT 100`
  )
  return rows.map(({ id }) => id)
}).pipe(Effect.withSpan("ThrowAwayGrant.abandoned"))

const SerialRow = Schema.Struct({ serial: SerialNumber })

/** Serials that the CA was asked to sign and has not confirmed as revoked. */
export const unrevokedSerials = Effect.fn("ThrowAwayGrant.unrevokedSerials")(function* (id: GrantId) {
  const sql = yield* SqlClient
  const rows = yield* rowsOf(
    "look for the certificates of a throw-away grant",
    SerialRow,
    sql`
      SELECT serial FROM federation_certificates
      WHERE grant_id = ${id} AND state <> 'refused' AND revoked_at_ca IS NULL`
  )
  return rows.map(({ serial }) => serial)
})

/** With everything that hangs on it. To be called once the CA has revoked its certificates. */
export const removeThrowAway = Effect.fn("ThrowAwayGrant.remove")(function* (id: GrantId) {
  const sql = yield* SqlClient
  const operation = "remove a throw-away grant"
  const mine = sql`SELECT id FROM federation_grants WHERE id = ${id} AND peer = ${peer}`
  yield* transactionOn(sql)(
    operation,
    Effect.gen(function* () {
      yield* sql`
        DELETE FROM federation_tasks WHERE kind = 'revoke-at-ca' AND subject IN (
          SELECT serial FROM federation_certificates WHERE grant_id IN (${mine})
        )`
      yield* sql`DELETE FROM federation_certificates WHERE grant_id IN (${mine})`
      yield* sql`DELETE FROM federation_grants WHERE id IN (${mine})`
    })
  )
})
