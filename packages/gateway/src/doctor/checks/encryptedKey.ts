/** The CA hands nobody an encrypted private key to guess its password at leisure. */
import { Effect } from "effect"
import { caFailure } from "../caFailure.ts"
import { type Check, remedy, warning } from "../Check.ts"
import { restartCommand } from "../compose.ts"
import { Subject } from "../Subject.ts"

const repair = remedy(
  "start the CA again, whose boot (infra/step-ca/init.sh) moves the key out of ca.json into a file",
  restartCommand("step-ca")
)

export const encryptedKey: Check = {
  id: "encrypted-key",
  name: "encrypted key",
  needs: ["ca"],
  ifSilent: () => repair,
  run: () =>
    Effect.gen(function* () {
      const { caSettings, provisioners } = yield* Subject
      const settings = yield* caSettings
      const listed = yield* Effect.mapError(provisioners, caFailure(settings))
      const names = listed
        .filter(({ encryptedKey }) => encryptedKey !== undefined && encryptedKey !== "")
        .map(({ name }) => name)
      if (names.length === 0) return { evidence: { provisioners: listed.length } }
      return yield* warning({
        code: "ENCRYPTED_KEY_PUBLISHED",
        problem: `the CA shows the encrypted private key of ${names.join(", ")} to everybody at ${settings.url.origin}/provisioners: its password alone guards every grant`,
        remedy: repair,
        evidence: { published: names.join(", ") }
      })
    })
}
