/**
 * Seals the audit record for as long as its scope lasts, twice a second where there is something to seal. Every replica
 * has one, and the database lets one at a time work; what this one leaves, another or the next start seals.
 */
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { Duration, Effect, Layer } from "effect"

const pause = Duration.millis(400)

/** After this pause a sealer that could not reach the database tries again. */
const storagePause = Duration.seconds(1)

/** At the end of the server; what is left then waits for the next one. */
const lastWords = Duration.seconds(3)

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const audit = yield* AuditRepo

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

    yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(sealAll, lastWords)))
    yield* Effect.forkScoped(Effect.forever(turn))
  })
)
