/** What the records say of a certificate that somebody shows: this gateway's own, or those of the one that is asked. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import type { CertificateDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import type { GrantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import type { GatewaySettings } from "@mosaic-federation/gateway/GatewayConfig"
import type { Certificate } from "@mosaic-federation/x509/Certificate"
import type { Asked } from "@mosaic-federation/x509/CertificateConformance"
import { DateTime, Effect, Option, Schema } from "effect"
import { gatewaySettings } from "./ConfigFlag.ts"
import { isGatewayNamed } from "./GatewayFlag.ts"
import { type Operations, useOperations } from "./Services.ts"

export interface KnownHere {
  readonly grant: GrantDocument
  readonly record: CertificateDocument
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
  const find = ({ certificates, grants }: Operations) =>
    Effect.gen(function* () {
      const record = yield* certificates.show(serial)
      if (record.fingerprintSha256 !== fingerprintSha256) return Option.none<KnownHere>()
      return Option.some<KnownHere>({ record, grant: yield* grants.show(record.grantId) })
    }).pipe(Effect.catchTag("CertificateNotFound", () => Effect.succeed(Option.none<KnownHere>())))
  if (yield* isGatewayNamed) return yield* useOperations(find)
  const settings = yield* gatewaySettings
  return (yield* hasDatabase(settings)) ? yield* useOperations(find, { settings }) : Option.none<KnownHere>()
})

export const askedOf = ({ grant, record }: KnownHere): Partial<Asked> => ({
  grantId: record.grantId,
  subjectUserId: record.subjectUserId,
  serial: record.serial,
  notAfter: DateTime.toDateUtc(record.notAfter),
  grantExpiresAt: DateTime.toDateUtc(grant.expiresAt)
})
