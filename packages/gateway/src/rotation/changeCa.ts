/** Changes the CA's provisioners, and waits until the CA itself shows the change. */
import { RotationReloadFailed } from "@mosaic-federation/domain/RotationErrors"
import type { IssuanceSettings } from "@mosaic-federation/issuance/IssuanceConfig"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { listProvisioners } from "@mosaic-federation/issuance/Provisioners"
import { Duration, Effect, Option } from "effect"
import { type CaProvisioner, changeProvisioners } from "./CaConfigFile.ts"
import { reload } from "./reload.ts"
import type { Rotation } from "./Rotation.ts"
import { phaseOf } from "./RotationState.ts"

/** The kid of each provisioner that the CA shows; nothing where it cannot be asked now. */
const shownKids = Effect.fnUntraced(
  function* (settings: IssuanceSettings) {
    const http = yield* PinnedHttpClient.make({
      baseUrl: settings.caUrl,
      rootsPem: settings.roots.map(({ pem }) => pem)
    })
    const provisioners = yield* listProvisioners(http, settings.caUrl)
    return Option.some<ReadonlyMap<string, string>>(
      new Map(provisioners.map(({ key, name }) => [name, key?.kid ?? "none"]))
    )
  },
  Effect.scoped,
  Effect.orElseSucceed(Option.none<ReadonlyMap<string, string>>)
)

const showTimeout = Duration.seconds(30)

/** Changes ca.json, and goes on once the CA shows it: `shows` is what must be seen. */
export const changeCa = Effect.fnUntraced(function* (
  { options, settings, state }: Rotation,
  change: (provisioners: ReadonlyArray<CaProvisioner>) => ReadonlyArray<CaProvisioner>,
  shows: (kids: ReadonlyMap<string, string>) => boolean
) {
  yield* changeProvisioners(options.caConfig, change)
  const isShown = Effect.map(shownKids(settings), Option.exists(shows))
  if (yield* isShown) return
  const phase = phaseOf(state)
  yield* reload("step-ca", options.reloadCa, phase)
  const wait = Effect.gen(function* () {
    while (!(yield* isShown)) yield* Effect.sleep("100 millis")
  })
  yield* wait.pipe(
    Effect.timeoutOrElse({
      duration: showTimeout,
      orElse: () =>
        Effect.fail(
          new RotationReloadFailed({
            who: "step-ca",
            phase,
            reason: `${Duration.format(showTimeout)} after its reload it does not show what ${options.caConfig} says`
          })
        )
    })
  )
})
