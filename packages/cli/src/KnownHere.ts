/** What this gateway's own records say of a certificate that somebody shows: without records, nothing. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { Grant } from "@mosaic-federation/domain/Grant"
import type { GatewaySettings } from "@mosaic-federation/gateway/GatewayConfig"
import type { CertificateRecord, GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import type { Certificate } from "@mosaic-federation/x509/Certificate"
import type { Asked } from "@mosaic-federation/x509/CertificateConformance"
import { DateTime, Effect, Option, Schema } from "effect"
import { gatewaySettings } from "./ConfigFlag.ts"
import { useGrants } from "./Services.ts"

export interface KnownHere {
  readonly grant: Grant
  readonly record: CertificateRecord
}

const isSerial = Schema.is(SerialNumber)

/** Looking must not make a database where there is none. */
export const hasDatabase = Effect.fnUntraced(function* ({ database }: GatewaySettings) {
  const { mosaicHome } = yield* Effect.promise(() => import("@mosaic-federation/issuance/MosaicHome"))
  return database !== null || existsSync(join(yield* mosaicHome, "postgres"))
}, Effect.provide(NodeFileSystem.layer))

/** None where there are no records, or none of this very certificate. */
export const lookUp = Effect.fnUntraced(function* ({ fingerprintSha256, serial }: Certificate) {
  if (!isSerial(serial)) return Option.none<KnownHere>()
  const settings = yield* gatewaySettings
  if (!(yield* hasDatabase(settings))) return Option.none<KnownHere>()
  const find = (grants: GrantRepo["Service"]) =>
    Effect.gen(function* () {
      const [record] = yield* grants.certificates({ serial, limit: 1 })
      if (record === undefined || record.fingerprintSha256 !== fingerprintSha256)
        return Option.none<KnownHere>()
      return Option.some<KnownHere>({ record, grant: yield* grants.find(record.grantId) })
    })
  return yield* useGrants(find, settings)
})

export const askedOf = ({ grant, record }: KnownHere): Partial<Asked> => ({
  grantId: record.grantId,
  subjectUserId: record.subjectUserId,
  serial: record.serial,
  notAfter: DateTime.toDateUtc(record.notAfter),
  grantExpiresAt: DateTime.toDateUtc(grant.expiresAt)
})
