/** What the CA does with a provisioner's key, shown by a signing. */
import { generateKeyPair, randomUUID } from "node:crypto"
import { promisify } from "node:util"
import { CertificateWithheld } from "@mosaic-federation/domain/CertificateErrors"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { RotationReloadFailed } from "@mosaic-federation/domain/RotationErrors"
import { UserId } from "@mosaic-federation/domain/UserId"
import { readCsr } from "@mosaic-federation/issuance/Csr"
import { backdate } from "@mosaic-federation/issuance/GrantPolicy"
import { IssuanceConfig, type IssuanceSettings } from "@mosaic-federation/issuance/IssuanceConfig"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { randomSerial } from "@mosaic-federation/issuance/randomSerial"
import { type SignError, StepCa } from "@mosaic-federation/issuance/StepCa"
import { TokenDiagnosis } from "@mosaic-federation/issuance/TokenDiagnosis"
import { randomJti, TokenSigner } from "@mosaic-federation/issuance/TokenSigner"
import * as CertificateConformance from "@mosaic-federation/x509/CertificateConformance"
import { DateTime, Duration, Effect, Layer, Result } from "effect"
import { emptyCsr } from "../emptyCsr.ts"
import type { Rotation } from "./Rotation.ts"

const generate = promisify(generateKeyPair)

const caOf = (settings: IssuanceSettings) =>
  StepCa.layerNoDeps.pipe(
    Layer.provide(TokenDiagnosis.layerNoDeps),
    Layer.provide([PinnedHttpClient.layerNoDeps, TokenSigner.layerNoDeps]),
    Layer.provide(IssuanceConfig.layerOf(settings))
  )

/**
 * Has the CA sign one certificate for a grant that does not exist, of the shortest life, and compares it as every other.
 * Its key is forgotten, its serial revoked at once, and nobody is shown either.
 */
export const proveKey = Effect.fn("ProvisionerRotation.proveKey")(
  function* (settings: IssuanceSettings): Effect.fn.Return<void, CertificateWithheld | SignError, StepCa> {
    const ca = yield* StepCa
    const pair = yield* Effect.promise(() => generate("ec", { namedCurve: "P-256" }))
    const csrPem = emptyCsr(pair)
    const csr = Result.getOrThrow(readCsr(csrPem))
    const grantId = GrantId.make(randomUUID())
    const subjectUserId = UserId.make(randomUUID())
    const serial = randomSerial()
    const requestedAt = DateTime.makeUnsafe(
      Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1000) * 1000
    )
    const notAfter = DateTime.addDuration(requestedAt, settings.lifetimes.shortest)
    const signed = yield* ca.sign({
      claims: { grantId, subjectUserId, serial, csrSha256: csr.sha256Hex },
      jti: randomJti(),
      csrPem,
      notBefore: DateTime.subtractDuration(requestedAt, backdate),
      notAfter
    })
    const checked = CertificateConformance.check(
      { leaf: signed.leafPem, chain: signed.chainPem },
      {
        grantId,
        subjectUserId,
        csrSpki: csr.publicKeySpki,
        serial,
        notAfter: DateTime.toDateUtc(notAfter),
        grantExpiresAt: DateTime.toDateUtc(notAfter),
        maxLifetimeMillis: Duration.toMillis(settings.lifetimes.longest),
        requestedAt: DateTime.toDateUtc(requestedAt),
        backdateMillis: Duration.toMillis(backdate),
        skewMillis: Duration.toMillis(Duration.minutes(1)),
        now: DateTime.toDateUtc(yield* DateTime.now),
        roots: settings.roots,
        oids: settings.oids
      }
    )
    yield* ca.revoke(serial, "a proof of a provisioner's key")
    if (Result.isFailure(checked)) {
      return yield* new CertificateWithheld({
        grantId,
        serial,
        mismatches: checked.failure,
        revokedAtCa: true
      })
    }
  },
  (effect, settings) => Effect.provide(effect, caOf(settings))
)

/** The old key is to be refused because the CA no longer knows it, and for no other reason. */
export const refusesOld = Effect.fnUntraced(function* ({ old, settings, state: { provisioner } }: Rotation) {
  const signed = yield* Effect.result(proveKey({ ...settings, provisioner, provisionerKey: old }))
  if (Result.isFailure(signed) && signed.failure._tag === "CaKeyUnknown") return
  if (Result.isFailure(signed)) return yield* signed.failure
  return yield* new RotationReloadFailed({
    who: "step-ca",
    phase: "drained",
    reason: "it still signs for the old key"
  })
})
