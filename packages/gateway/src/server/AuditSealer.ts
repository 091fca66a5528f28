/**
 * Seals the audit record for as long as its scope lasts, twice a second where there is something to seal, and signs the
 * head of its chain each minute. Every replica has one, and the database lets one at a time seal; what this one leaves,
 * another or the next start seals.
 */
import { AuditKey } from "@mosaic-federation/issuance/AuditKey"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { DateTime, Duration, Effect, Layer } from "effect"

const pause = Duration.millis(400)

const signEvery = Duration.minutes(1)

/** After this pause a sealer that could not reach the database tries again. */
const storagePause = Duration.seconds(1)

/** At the end of the server; what is left then waits for the next one. */
const lastWords = Duration.seconds(3)

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const audit = yield* AuditRepo
    const key = yield* AuditKey

    /** To the log as well, which the database's owner need not be able to change. */
    const signHead = Effect.gen(function* () {
      const { head, unsealed } = yield* audit.state
      if (head.height === 0) return
      const signed = key.sign("head", head, DateTime.formatIso(yield* DateTime.now))
      yield* Effect.logInfo("audit head", { ...signed, unsealed })
      yield* audit.recordHead(signed)
    }).pipe(
      Effect.catch(({ code, message }) =>
        Effect.logError("the head of the audit chain is not signed", { code, reason: message })
      )
    )

    /** All that waits; another replica that is at it has what this one would. */
    const sealAll: typeof audit.seal = Effect.gen(function* () {
      const sealed = yield* audit.seal
      return sealed.more && sealed.sealed > 0 ? yield* sealAll : sealed
    })

    /** Told once for each time that the database goes away. */
    let storageAway = false
    const turn = Effect.gen(function* () {
      yield* sealAll
      storageAway = false
      yield* Effect.sleep(pause)
    }).pipe(
      Effect.catch((error) =>
        Effect.gen(function* () {
          if (!storageAway) {
            yield* Effect.logError("the audit record waits to be sealed: the database fails", {
              code: error.code,
              reason: error.message
            })
          }
          storageAway = true
          yield* Effect.sleep(storagePause)
        })
      ),
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError("sealing the audit record died", { defect: String(defect) }),
          Effect.sleep(storagePause)
        )
      )
    )

    yield* Effect.addFinalizer(() =>
      Effect.ignore(Effect.timeoutOption(Effect.andThen(sealAll, signHead), lastWords))
    )
    yield* Effect.forkScoped(Effect.forever(turn))
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(signHead, Effect.sleep(signEvery))))
  })
)
