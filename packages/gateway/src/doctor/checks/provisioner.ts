/** The CA has our provisioner, under its name and, where our key can be opened, with our key id. */
import { CaKeyUnknown, CaProvisionerUnknown } from "@mosaic-federation/domain/CaErrors"
import { Effect, Option, Result } from "effect"
import { caFailure } from "../caFailure.ts"
import { type Check, failed, remedy } from "../Check.ts"
import { Subject } from "../Subject.ts"

const listCommand = 'step ca provisioner list --ca-url "$STEP_CA_URL" --root "$STEP_CA_ROOT_CERT_PATH"'

const quoted = (names: ReadonlyArray<string>) => (names.length === 0 ? "none" : names.join(", "))

export const provisioner: Check = {
  id: "provisioner",
  name: "provisioner",
  needs: ["ca"],
  detail: ({ ca }) => (Result.isSuccess(ca) ? ca.success.provisioner : null),
  ifSilent: () => remedy("see whether the CA lists its provisioners", listCommand),
  run: ({ passes }) =>
    Effect.gen(function* () {
      const { caSettings, key, provisioners } = yield* Subject
      const settings = yield* caSettings
      const name = settings.provisioner
      const listed = (yield* Effect.mapError(provisioners, caFailure(settings))).filter(
        ({ type }) => type === "JWK"
      )
      const ours = listed.filter((one) => one.name === name)
      if (ours.length === 0) {
        const known = quoted(listed.map((one) => one.name))
        return yield* failed({
          code: CaProvisionerUnknown.code,
          problem: `the CA has no JWK provisioner ${name}; it has: ${known}`,
          remedy: remedy("set STEP_CA_PROVISIONER to one of those that the CA lists", listCommand),
          evidence: { known }
        })
      }
      const kids = quoted(ours.map((one) => one.key?.kid ?? "none"))
      const opened = (yield* passes("password")) ? yield* Effect.option(key) : Option.none()
      if (Option.isNone(opened)) return { evidence: { name, kids, compared: false } }
      const { kid } = opened.value
      if (!ours.some((one) => one.key?.kid === kid)) {
        return yield* failed({
          code: CaKeyUnknown.code,
          problem: `the CA has ${name} with the key ${kids}, and not with ours, ${kid}`,
          remedy: remedy(
            "set STEP_CA_PROVISIONER_KEY_JSON to the private half of a key that the CA lists",
            listCommand
          ),
          evidence: { name, kids, kid }
        })
      }
      return { evidence: { name, kids, kid, compared: true } }
    })
}
