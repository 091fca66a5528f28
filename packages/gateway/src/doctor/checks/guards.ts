/**
 * The CA's template refuses a token that lacks a claim: it alone stands between the provisioner's key and a certificate
 * that says nothing of its grant. What a template does is in no answer of the CA, so it is asked to sign what it must
 * not. Where it does sign, the certificate is revoked at once by its serial; it is neither shown nor kept.
 */
import { generateKeyPair, randomUUID } from "node:crypto"
import { promisify } from "node:util"
import { TransportError } from "@mosaic-federation/domain/TransportErrors"
import { detailOf, requestIdOf } from "@mosaic-federation/issuance/CaAnswer"
import { backdate } from "@mosaic-federation/issuance/GrantPolicy"
import { IssuanceConfig, type IssuanceSettings } from "@mosaic-federation/issuance/IssuanceConfig"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { randomSerial } from "@mosaic-federation/issuance/randomSerial"
import { TokenDiagnosis } from "@mosaic-federation/issuance/TokenDiagnosis"
import { makeToken, randomJti } from "@mosaic-federation/issuance/TokenSigner"
import { parseCertificates } from "@mosaic-federation/x509/Certificate"
import { DateTime, Duration, Effect, Layer, Option, Redacted, Result, Schema } from "effect"
import { emptyCsr } from "../../emptyCsr.ts"
import { caFailure } from "../caFailure.ts"
import { type Check, failed, failedBy, remedy } from "../Check.ts"
import { restartCommand } from "../compose.ts"
import { fingerprintOf, lastSuccess, rememberSuccess } from "../lastSuccess.ts"
import { Subject } from "../Subject.ts"

const provedFor = Duration.hours(1)

const generate = promisify(generateKeyPair)

const claimNames = ["mosaic_grant_id", "mosaic_subject_user_id", "mosaic_serial"] as const

/** What each probe's token lacks: each claim alone, and all of them. */
const probes: ReadonlyArray<ReadonlyArray<(typeof claimNames)[number]>> = [
  ...claimNames.map((name) => [name]),
  claimNames
]

const decodeSigned = Schema.decodeUnknownOption(Schema.Struct({ crt: Schema.String }))

const serialOf = (body: unknown): Option.Option<string> =>
  Option.flatMap(decodeSigned(body), ({ crt }) =>
    Option.map(Result.getSuccess(parseCertificates(crt)), ([leaf]) => leaf?.serial ?? "0")
  )

const repair = remedy(
  "start the CA again, whose boot (infra/step-ca/init.sh) installs the template that refuses",
  restartCommand("step-ca")
)

const prove = Effect.fnUntraced(function* (settings: IssuanceSettings, http: PinnedHttpClient["Service"]) {
  const { lifetimes } = settings

  const revoke = Effect.fnUntraced(function* (serial: string) {
    const token = yield* makeToken(settings, "/1.0/revoke", randomJti(), { sub: serial })
    const { status } = yield* http.request({
      method: "POST",
      path: "/1.0/revoke",
      body: {
        serial,
        ott: Redacted.value(token.value),
        reason: "signed without the claims of a grant",
        reasonCode: 0,
        passive: true
      }
    })
    return status === 200
  })

  const pair = yield* Effect.promise(() => generate("ec", { namedCurve: "P-256" }))
  const csr = emptyCsr(pair)

  /** The serial is revoked whatever interrupts the check in between. */
  const probe = Effect.fnUntraced(function* (lacking: (typeof probes)[number]) {
    const grantId = randomUUID()
    const claims = {
      mosaic_grant_id: grantId,
      mosaic_subject_user_id: randomUUID(),
      mosaic_serial: randomSerial()
    }
    const given = Object.fromEntries(
      Object.entries(claims).filter(([name]) => !lacking.some((one) => one === name))
    )
    const token = yield* makeToken(settings, "/1.0/sign", randomJti(), {
      sub: grantId,
      sans: [`urn:uuid:${grantId}`],
      ...given
    })
    const start = DateTime.subtractDuration(yield* DateTime.now, backdate)
    const response = yield* http.request({
      method: "POST",
      path: "/1.0/sign",
      body: {
        csr,
        ott: Redacted.value(token.value),
        notBefore: DateTime.formatIso(start),
        notAfter: DateTime.formatIso(
          DateTime.addDuration(start, Duration.sum(lifetimes.shortest, Duration.seconds(1)))
        )
      }
    })
    const { status } = response
    if (status === 400 && detailOf(response).includes("mosaic-template:")) return
    const without = lacking.join(", ")
    if (status === 200 || status === 201) {
      const serial = serialOf(response.body)
      const isRevoked =
        Option.isSome(serial) && (yield* Effect.orElseSucceed(revoke(serial.value), () => false))
      return yield* failed({
        code: "TEMPLATE_SIGNS_ANYTHING",
        problem: `critical: the CA signed a token without ${without}; the certificate of serial ${Option.getOrElse(serial, () => "unknown")} is ${isRevoked ? "revoked" : "NOT revoked, and ends by itself"}`,
        remedy: repair,
        evidence: { lacking: without, revoked: isRevoked }
      })
    }
    if (status === 401) {
      const diagnosis = yield* TokenDiagnosis
      return yield* diagnosis.explain({ token, response, reused: false })
    }
    return yield* failed({
      code: "TEMPLATE_NOT_PROVED",
      problem: `the CA answered ${status} to a token without ${without}, and not by its template: ${detailOf(response)} (request ${requestIdOf(response)})`,
      remedy: repair,
      evidence: { lacking: without, status }
    })
  }, Effect.uninterruptible)

  yield* Effect.forEach(probes, probe, { discard: true })
})

export const guards: Check = {
  id: "guards",
  name: "template guards",
  needs: ["key", "clock"],
  ifSilent: () => repair,
  run: () =>
    Effect.gen(function* () {
      const subject = yield* Subject
      const caSettings = yield* subject.caSettings
      const now = yield* DateTime.now
      const { http, listed, settings } = yield* Effect.gen(function* () {
        return {
          settings: yield* subject.issuance,
          http: yield* subject.http,
          listed: yield* subject.provisioners
        }
      }).pipe(Effect.mapError((error) => failedBy(error, "mosaic config show")))
      const of = fingerprintOf({
        ca: caSettings.url.origin,
        kid: settings.provisionerKey.kid,
        // Another template, by its name or in its text, is another thing to prove.
        provisioners: listed.filter(({ name }) => name === caSettings.provisioner)
      })
      const before = yield* lastSuccess(subject.home, of)
      const isFresh = (at: DateTime.Utc) => {
        const age = DateTime.toEpochMillis(now) - DateTime.toEpochMillis(at)
        return age >= 0 && age < Duration.toMillis(provedFor)
      }
      if (!subject.deep && Option.isSome(before) && isFresh(before.value)) {
        return {
          detail: `proved at ${DateTime.formatIso(before.value)}`,
          evidence: { provedAt: DateTime.formatIso(before.value), probes: 0 }
        }
      }
      const diagnosis = TokenDiagnosis.layerNoDeps.pipe(
        Layer.provide(Layer.succeed(PinnedHttpClient, http)),
        Layer.provide(IssuanceConfig.layerOf(settings))
      )
      const isTransport = Schema.is(TransportError)
      yield* prove(settings, http).pipe(
        Effect.provide(diagnosis),
        Effect.mapError((error) => {
          if (error._tag === "NotPassed") return error
          return isTransport(error) ? caFailure(caSettings)(error) : failedBy(error, "mosaic config show")
        })
      )
      yield* rememberSuccess(subject.home, of)
      return {
        detail: "refuse what lacks a claim",
        evidence: { provedAt: DateTime.formatIso(now), probes: probes.length }
      }
    })
}
