/**
 * The closed loop, on a throw-away grant: a certificate is issued and recognised, its grant revoked, and from then on
 * both are refused. Whatever happens on the way, the CA revokes what it may have signed, and the records go.
 */
import type { Grant } from "@mosaic-federation/domain/Grant"
import { GrantRevoked } from "@mosaic-federation/domain/GrantErrors"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { PeerCertificateRevoked } from "@mosaic-federation/domain/PeerErrors"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Issuance } from "@mosaic-federation/issuance/Issuance"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { StepCa } from "@mosaic-federation/issuance/StepCa"
import {
  abandonedThrowAways,
  removeThrowAway,
  throwAwayGrant,
  unrevokedSerials
} from "@mosaic-federation/issuance/ThrowAwayGrant"
import { TokenDiagnosis } from "@mosaic-federation/issuance/TokenDiagnosis"
import { TokenSigner } from "@mosaic-federation/issuance/TokenSigner"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { generateKeyPair } from "node:crypto"
import { promisify } from "node:util"
import { Clock, Duration, Effect, Exit, Layer, Option, References, Result } from "effect"
import { PeerIdentity } from "../../peer/PeerIdentity.ts"
import { emptyCsr } from "../../emptyCsr.ts"
import { type Check, failed, failedBy, NotPassed, remedy } from "../Check.ts"
import { Subject } from "../Subject.ts"

const generate = promisify(generateKeyPair)

/** For the CA to revoke and the database to forget. */
const cleaningUp = Duration.seconds(1)

const explainCommand = (code: string) => `mosaic federation errors ${code}`

/** The program as the gateway has it, over the connections that are open already. */
const layerProgram = Layer.unwrap(
  Effect.gen(function* () {
    const { database, http, issuance } = yield* Subject
    const records = Layer.provideMerge(GrantRepo.layerNoDeps, Layer.succeedContext(yield* database))
    const ca = StepCa.layerNoDeps.pipe(
      Layer.provide(Layer.mergeAll(TokenDiagnosis.layerNoDeps, TokenSigner.layerNoDeps)),
      Layer.provide(Layer.succeed(PinnedHttpClient, yield* http))
    )
    return Layer.mergeAll(Issuance.layerNoDeps, PeerIdentity.layerNoDeps).pipe(
      Layer.provideMerge(Layer.mergeAll(records, ca)),
      Layer.provide(IssuanceConfig.layerOf(yield* issuance))
    )
  })
)

const wentOn = (step: string) =>
  failed({
    code: "REVOCATION_WITHOUT_EFFECT",
    problem: `${step}: what should be refused after the grant's revocation was not`,
    remedy: remedy("stop issuing and report the defect", "mosaic federation errors INTERNAL_ERROR")
  })

/** Of each step, how long it took. */
const makeStopwatch = () => {
  const millis: Record<string, number> = {}
  let current = "grant"
  const step = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      current = name
      const begun = yield* Clock.monotonicTimeNanos
      const result = yield* effect
      millis[name] = Math.round(Number((yield* Clock.monotonicTimeNanos) - begun) / 1e6)
      return result
    })
  return { millis, current: () => current, step }
}

const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>, patience: Duration.Duration, step: () => string) =>
  Effect.timeoutOrElse(effect, {
    duration: patience,
    orElse: () =>
      Effect.fail(
        failed({
          code: "CHECK_TIMED_OUT",
          problem: `the step "${step()}" was not done within ${Math.round(Duration.toMillis(patience))} ms`,
          remedy: remedy("give it more time", "mosaic gateway doctor --deep --timeout 30s")
        })
      )
  })

const explained = (step: string) => (error: MosaicError | NotPassed) =>
  error instanceof NotPassed
    ? error
    : failedBy(
        { code: error.code, message: `${step}: ${error.message}`, remediation: error.remediation },
        explainCommand(error.code)
      )

/** Everything that the grant left. */
const cleanUp = Effect.fnUntraced(function* (id: Grant["id"]) {
  const ca = yield* StepCa
  const serials = yield* unrevokedSerials(id)
  yield* Effect.forEach(serials, (serial) => ca.revoke(serial, "throw-away grant of the doctor"), {
    discard: true
  })
  yield* removeThrowAway(id)
})

const walk = Effect.fnUntraced(function* (
  { step }: ReturnType<typeof makeStopwatch>,
  grant: Grant,
  csrPem: string,
  lifetime: Duration.Duration
) {
  const grants = yield* GrantRepo
  const issuance = yield* Issuance
  const peers = yield* PeerIdentity
  const ca = yield* StepCa
  const issue = issuance.issue(
    new IssueCertRequest({ grantId: grant.id, subjectUserId: grant.subjectUserId, csrPem, lifetime })
  )
  const { certificate, serial } = yield* step("issue", issue)
  const { der } = yield* Effect.fromResult(
    Result.mapError(parseCertificate(certificate), () => wentOn("verify"))
  )
  const identify = peers.identify(der)
  yield* step("verify", identify)
  yield* step(
    "revoke",
    Effect.andThen(
      grants.revoke(grant.id, "throw-away grant of the doctor"),
      ca.revoke(serial, "throw-away grant of the doctor")
    )
  )
  yield* step(
    "refused",
    Effect.gen(function* () {
      const again = yield* Effect.result(issue)
      if (Result.isSuccess(again)) return yield* wentOn("issue")
      if (!(again.failure instanceof GrantRevoked)) return yield* again.failure
      const shown = yield* Effect.result(identify)
      if (Result.isSuccess(shown)) return yield* wentOn("verify")
      const isRefusal =
        shown.failure instanceof GrantRevoked || shown.failure instanceof PeerCertificateRevoked
      if (!isRefusal) return yield* shown.failure
    })
  )
})

export const loop: Check = {
  id: "loop",
  name: "closed loop",
  needs: ["schema", "guards"],
  isOwnWork: () => true,
  ifSilent: () => remedy("give it more time", "mosaic gateway doctor --deep --timeout 30s"),
  run: ({ patience }) =>
    Effect.gen(function* () {
      const { caSettings } = yield* Subject
      const { shortest } = (yield* caSettings).lifetimes
      const grants = yield* GrantRepo
      const pair = yield* Effect.promise(() => generate("ec", { namedCurve: "P-256" }))
      const stopwatch = makeStopwatch()
      const forWalking = Duration.max(Duration.subtract(patience, cleaningUp), Duration.times(patience, 0.5))
      for (const id of yield* abandonedThrowAways) yield* cleanUp(id)
      return yield* Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const grant = yield* stopwatch.step(
            "grant",
            Effect.flatMap(throwAwayGrant(Duration.sum(shortest, Duration.minutes(10))), grants.create)
          )
          const walked = yield* walk(stopwatch, grant, emptyCsr(pair), shortest).pipe(
            (steps) => inTime(steps, forWalking, stopwatch.current),
            Effect.mapError((error) => explained(stopwatch.current())(error)),
            restore,
            Effect.exit
          )
          const failedAt = stopwatch.current()
          const cleaned = yield* stopwatch
            .step("clean up", cleanUp(grant.id))
            .pipe((steps) => inTime(steps, cleaningUp, stopwatch.current), Effect.result)
          const { millis } = stopwatch
          const evidence = {
            ...Object.fromEntries(
              Object.entries(millis).map(([name, taken]) => [`${name.replace(" up", "")}Millis`, taken])
            ),
            cleanedUp: Result.isSuccess(cleaned)
          }
          if (Exit.isFailure(walked)) {
            const fault = Option.getOrUndefined(Exit.findErrorOption(walked))
            if (fault === undefined) return yield* Effect.failCause(walked.cause)
            const { finding, severity } = fault
            return yield* new NotPassed({ severity, finding, evidence: { ...evidence, failedAt } })
          }
          if (Result.isFailure(cleaned)) {
            return yield* failed({
              code: "LOOP_NOT_CLEANED_UP",
              problem: `the loop is closed, but the throw-away grant ${grant.id} is still on record: ${cleaned.failure instanceof NotPassed ? cleaned.failure.finding.problem : cleaned.failure.message}`,
              remedy: remedy("it is revoked; the next deep look removes it", "mosaic gateway doctor --deep"),
              evidence
            })
          }
          const shown = Object.entries(millis).map(([name, taken]) => `${name} ${taken}ms`)
          return { detail: shown.join(", "), evidence }
        })
      )
    }).pipe(
      Effect.provide(layerProgram),
      Effect.mapError((error) =>
        error instanceof NotPassed ? error : failedBy(error, explainCommand(error.code))
      ),
      // What is tried is in the report.
      Effect.provideService(References.MinimumLogLevel, "None")
    )
}
