/**
 * What it takes to judge a certificate: the pinned roots and the object identifiers of the two extensions. It is apart
 * from the other settings because a verifier has these and no provisioner key.
 */
import {
  ConfigInvalid,
  RootCertificateExpired,
  RootCertificateRefused
} from "@mosaic-federation/domain/ConfigurationErrors"
import { grantOids, mosaicArc } from "@mosaic-federation/x509/Oid"
import { parseRootBundle } from "@mosaic-federation/x509/RootBundle"
import { DateTime, Effect, Option, Result } from "effect"
import { optionalSetting, readSettingFile } from "./Setting.ts"

/** `source` is the setting or option that named the path, for the errors. */
export const readRootFile = Effect.fnUntraced(function* (source: string, path: string) {
  if (path.includes("-----BEGIN")) {
    return yield* new ConfigInvalid({
      variable: source,
      problem: "it holds a certificate",
      expects: "the path of the file that holds the certificate"
    })
  }
  const pem = yield* readSettingFile(source, path)
  const now = yield* DateTime.now
  return yield* Result.match(parseRootBundle(pem, DateTime.toDateUtc(now)), {
    onSuccess: Effect.succeed,
    onFailure: (fault) =>
      Effect.fail(
        fault._tag === "Expired"
          ? new RootCertificateExpired({
              variable: source,
              path,
              subject: fault.subject,
              notAfter: DateTime.fromDateUnsafe(fault.notAfter)
            })
          : new RootCertificateRefused({ variable: source, path, problem: fault.message })
      )
  })
})

/** `MOSAIC_OID_ARC`, or the arc for experiments. */
export const readOids = Effect.gen(function* () {
  const variable = "MOSAIC_OID_ARC"
  const arc = Option.getOrElse(yield* optionalSetting(variable), () => mosaicArc)
  return yield* Effect.fromResult(
    Result.mapError(
      grantOids(arc),
      () =>
        new ConfigInvalid({
          variable,
          problem: `${JSON.stringify(arc)} is not an object identifier`,
          expects: "the dotted form of your arc, such as 1.3.6.1.4.1.<your IANA PEN>.1"
        })
    )
  )
})
