/** No provisioner has a symmetric key: the CA shows it to everybody, and with it anybody issues any grant's certificate. */
import { Effect } from "effect"
import { caFailure } from "../caFailure.ts"
import { type Check, failed, remedy } from "../Check.ts"
import { restartCommand } from "../compose.ts"
import { Subject } from "../Subject.ts"

export const symmetricKey: Check = {
  id: "symmetric-key",
  name: "symmetric key",
  needs: ["ca"],
  ifSilent: () =>
    remedy(
      "see whether the CA lists its provisioners",
      'step ca provisioner list --ca-url "$STEP_CA_URL" --root "$STEP_CA_ROOT_CERT_PATH"'
    ),
  run: () =>
    Effect.gen(function* () {
      const { caSettings, provisioners } = yield* Subject
      const settings = yield* caSettings
      const listed = yield* Effect.mapError(provisioners, caFailure(settings))
      const names = listed.filter(({ key }) => key?.["kty"] === "oct").map(({ name }) => name)
      if (names.length === 0) return { evidence: { provisioners: listed.length } }
      return yield* failed({
        code: "SYMMETRIC_KEY_PUBLISHED",
        problem: `critical: the CA shows the secret of ${names.join(", ")} (kty oct) to everybody at ${settings.url.origin}/provisioners: whoever reaches it can issue certificates of every grant`,
        remedy: remedy(
          "on the CA's machine, give that provisioner a key pair, start the CA again, and give the private half to the gateway",
          `step ca provisioner update ${names[0] ?? ""} --create --ca-config "$STEPPATH/config/ca.json" && ${restartCommand("step-ca")}`
        ),
        evidence: { symmetric: names.join(", ") }
      })
    })
}
