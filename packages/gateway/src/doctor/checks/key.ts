/** Our private key is the other half of the public key that the CA has under our key id: a signature proves it. */
import { randomBytes } from "node:crypto"
import { CaKeyMismatch } from "@mosaic-federation/domain/CaErrors"
import { Effect, Redacted } from "effect"
import { CompactSign, compactVerify, importJWK } from "jose"
import { caFailure } from "../caFailure.ts"
import { type Check, failed, failedBy, remedy } from "../Check.ts"
import { Subject } from "../Subject.ts"

const listCommand = 'step ca provisioner list --ca-url "$STEP_CA_URL" --root "$STEP_CA_ROOT_CERT_PATH"'

export const key: Check = {
  id: "key",
  name: "private key",
  needs: ["provisioner", "password"],
  ifSilent: () => remedy("see what the CA has", listCommand),
  run: () =>
    Effect.gen(function* () {
      const subject = yield* Subject
      const settings = yield* subject.caSettings
      const { algorithm, kid, privateKey } = yield* Effect.mapError(subject.key, (error) =>
        failedBy(error, "mosaic config show")
      )
      const listed = yield* Effect.mapError(subject.provisioners, caFailure(settings))
      const published = listed.find((one) => one.name === settings.provisioner && one.key?.kid === kid)
      const matches = yield* Effect.promise(async () => {
        try {
          const signed = await new CompactSign(randomBytes(32))
            .setProtectedHeader({ alg: algorithm })
            .sign(Redacted.value(privateKey))
          await compactVerify(signed, await importJWK({ ...published?.key }, algorithm))
          return true
        } catch {
          return false
        }
      })
      if (matches) return { evidence: { kid, algorithm } }
      return yield* failed({
        code: CaKeyMismatch.code,
        problem: `the CA's public key ${kid} does not verify what our private key signs: they are of two pairs`,
        remedy: remedy(
          "set STEP_CA_PROVISIONER_KEY_JSON to the private half of the very key that the CA lists",
          listCommand
        ),
        evidence: { kid, algorithm }
      })
    })
}
