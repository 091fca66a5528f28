/** The provisioner's private key is a key of an accepted kind, and its password opens it. */
import { Effect } from "effect"
import { type Check, failedBy, remedy } from "../Check.ts"
import { Subject } from "../Subject.ts"

const openCommand =
  'step crypto jwe decrypt --password-file "$STEP_CA_PROVISIONER_PASSWORD_FILE" <"$STEP_CA_PROVISIONER_KEY_JSON_FILE" >/dev/null'

export const password: Check = {
  id: "password",
  name: "provisioner password",
  needs: ["settings"],
  // Its many iterations are the price of guessing.
  isOwnWork: () => true,
  ifSilent: () => remedy("see how long it takes to open the key", openCommand),
  run: () =>
    Effect.gen(function* () {
      const { key } = yield* Subject
      const { algorithm, kid } = yield* Effect.mapError(key, (error) =>
        failedBy(error, error._tag === "ProvisionerKeyWrongPassword" ? openCommand : "mosaic config show")
      )
      return { evidence: { kid, algorithm } }
    })
}
