/**
 * Puts on the audit record that no certificate was renewed because the one that was shown is not taken. Only what its key
 * has proved is told of its holder; a proof that does not hold may be anybody's.
 */
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { Effect, Result, Schema } from "effect"
import { AuditedRefusals } from "./AuditedRefusals.ts"

const isSerial = Schema.is(SerialNumber)

interface Shown {
  /** That it names. */
  readonly serial: SerialNumber
  /** Of the certificate on record, where it is this very one. */
  readonly grantId: GrantId | null
}

export const makeRenewalRefusals = Effect.gen(function* () {
  const grants = yield* GrantRepo
  const refusals = yield* AuditedRefusals

  const look = Effect.fnUntraced(function* (der: Uint8Array | undefined) {
    const read = der === undefined ? undefined : Result.getOrUndefined(parseCertificate(der))
    if (read === undefined || !isSerial(read.serial)) return undefined
    const { fingerprintSha256, serial } = read
    const [record] = yield* Effect.orElseSucceed(grants.certificates({ serial, limit: 1 }), () => [])
    const grantId = record?.fingerprintSha256 === fingerprintSha256 ? record.grantId : null
    return { serial, grantId } satisfies Shown
  })

  const eventOf = (shown: Shown | undefined) => ({
    action: "certificate.renew" as const,
    grantId: shown?.grantId ?? null,
    subject: shown?.serial ?? null
  })

  /** `der` is the certificate that the request names, if it names one. */
  const unproved = (error: unknown, der: Uint8Array | undefined) =>
    refusals.note({ error, whose: null, event: Effect.map(look(der), eventOf) })

  /** `der` is the certificate whose key was proved. */
  const proved = Effect.fnUntraced(function* (error: unknown, der: Uint8Array) {
    const shown = yield* look(der)
    const event = Effect.succeed(eventOf(shown))
    const whose = shown === undefined || shown.grantId === null ? null : `certificate:${shown.serial}`
    yield* refusals.note({ error, whose, event })
  })

  return { unproved, proved }
})
