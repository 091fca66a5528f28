/**
 * Compares what the records say of revocations with what the CA knows. The two agree but for what is under way, unless one
 * of them was restored from a backup: then the other one still knows what was revoked since. It is no replacement for
 * deciding again: a grant that had no certificate when it was revoked has left no trace at the CA.
 */
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { CaResponseShape, type TransportError } from "@mosaic-federation/domain/TransportErrors"
import { revokedSerials } from "@mosaic-federation/x509/RevocationList"
import { Context, DateTime, Effect, Layer, Option, Result, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { type ChangeRefusal, GrantChanges } from "./GrantChanges.ts"
import { NullableDate } from "./internal/nullableDate.ts"
import { rowsOf } from "./internal/rowsOf.ts"
import { IssuanceConfig } from "./IssuanceConfig.ts"
import { PinnedHttpClient } from "./PinnedHttpClient.ts"
import { type SignError, StepCa } from "./StepCa.ts"

/** A certificate that the CA has revoked, of a grant that is active here, without any record of why. */
export interface UndoneRevocation {
  readonly serial: SerialNumber
  readonly grantId: GrantId
  readonly peer: string
}

export interface RevocationDifferences {
  /** How many serials the CA has revoked. */
  readonly atCa: number
  /** How many of them the records do not know at all. */
  readonly unknown: number
  readonly undone: ReadonlyArray<UndoneRevocation>
  /** Serials that the records have as revoked at the CA, and that the CA does not know as such. */
  readonly forgotten: ReadonlyArray<SerialNumber>
}

const Row = Schema.Struct({
  serial: SerialNumber,
  grant_id: GrantId,
  peer: Schema.String,
  state: Schema.String,
  status: Schema.String,
  revoked_at_ca: NullableDate,
  has_task: Schema.Boolean
})

const operation = "compare revocations with the CA"

export class RevocationComparison extends Context.Service<
  RevocationComparison,
  {
    readonly compare: Effect.Effect<RevocationDifferences, StorageError | TransportError>
    /** Suspends each grant whose revocation was undone, and revokes at the CA what it has forgotten. */
    readonly settle: (
      differences: RevocationDifferences
    ) => Effect.Effect<void, StorageError | SignError | ChangeRefusal>
  }
>()("@mosaic-federation/issuance/RevocationComparison") {
  static readonly layerNoDeps = Layer.effect(
    RevocationComparison,
    Effect.gen(function* () {
      const { caUrl } = yield* IssuanceConfig
      const http = yield* PinnedHttpClient
      const ca = yield* StepCa
      const sql = yield* SqlClient
      const grants = yield* GrantChanges

      const atCa = Effect.gen(function* () {
        const { body, status } = yield* http.request({ method: "GET", path: "/1.0/crl", accept: "bytes" })
        const serials =
          status === 200 && body instanceof Uint8Array
            ? Result.getSuccess(revokedSerials(body))
            : Option.none()
        if (Option.isNone(serials)) {
          return yield* new CaResponseShape({
            origin: caUrl.origin,
            problem: "GET /1.0/crl is not a certificate revocation list"
          })
        }
        return new Set(serials.value)
      })

      const compare = Effect.gen(function* () {
        const revoked = yield* atCa
        const now = DateTime.toDateUtc(yield* DateTime.now)
        const rows = yield* rowsOf(
          operation,
          Row,
          sql`
            SELECT c.serial, c.grant_id, g.peer, c.state, c.revoked_at_ca,
              CASE WHEN g.status = 'active' AND g.expires_at <= ${now} THEN 'expired' ELSE g.status END AS status,
              EXISTS (
                SELECT 1 FROM federation_tasks t
                WHERE t.kind = 'revoke-at-ca' AND t.subject = c.serial AND t.state = 'open'
              ) AS has_task
            FROM federation_certificates c JOIN federation_grants g ON g.id = c.grant_id
            WHERE c.not_after > ${now}`
        )
        const known = new Set<string>(rows.map(({ serial }) => serial))
        return {
          atCa: revoked.size,
          unknown: [...revoked].filter((serial) => !known.has(serial)).length,
          undone: rows
            .filter(
              (row) =>
                revoked.has(row.serial) &&
                row.state === "issued" &&
                row.status === "active" &&
                row.revoked_at_ca === null &&
                !row.has_task
            )
            .map(({ grant_id, peer, serial }) => ({ serial, grantId: grant_id, peer })),
          forgotten: rows
            .filter(({ revoked_at_ca, serial }) => revoked_at_ca !== null && !revoked.has(serial))
            .map(({ serial }) => serial)
        } satisfies RevocationDifferences
      }).pipe(Effect.withSpan("RevocationComparison.compare"))

      const settle = Effect.fn("RevocationComparison.settle")(function* ({
        forgotten,
        undone
      }: RevocationDifferences) {
        for (const id of new Set(undone.map(({ grantId }) => grantId))) yield* grants.suspend(id)
        const at = DateTime.toDateUtc(yield* DateTime.now)
        for (const { serial } of undone) {
          yield* rowsOf(
            operation,
            Schema.Struct({}),
            sql`
              UPDATE federation_certificates SET revoked_at_ca = ${at}
              WHERE serial = ${serial} AND revoked_at_ca IS NULL`
          )
        }
        for (const serial of forgotten) yield* ca.revoke(serial, "revoked before the CA was restored")
      })

      return RevocationComparison.of({ compare, settle })
    })
  )
}
