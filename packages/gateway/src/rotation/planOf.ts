/** What a rotation that begins now will change. */
import { existsSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { ConfigInvalid, ConfigMissing } from "@mosaic-federation/domain/ConfigurationErrors"
import { CaConfigUnusable, RotationStateUnusable } from "@mosaic-federation/domain/RotationErrors"
import type { IssuanceSettings } from "@mosaic-federation/issuance/IssuanceConfig"
import { optionalSetting } from "@mosaic-federation/issuance/Setting"
import { Effect, Option } from "effect"
import { named, readProvisioners } from "./CaConfigFile.ts"
import { nameBeside, type RotationOptions } from "./Rotation.ts"
import { openKey, readText } from "./RotationKeys.ts"

const keySetting = "STEP_CA_PROVISIONER_KEY_JSON_FILE"

/** Every file that holds the old key and is read by somebody: each is to hold the new one. */
const findKeyFiles = Effect.fnUntraced(function* (
  { caConfig, keyFiles }: Pick<RotationOptions, "caConfig" | "keyFiles">,
  kid: string
) {
  const own = yield* optionalSetting(keySetting)
  if (Option.isNone(own)) {
    return yield* new ConfigMissing({
      variable: keySetting,
      expects: "the path of the file with the provisioner's key, which takes the new one"
    })
  }
  const kidIn = Effect.fnUntraced(function* (path: string) {
    return (yield* openKey(yield* readText(path))).kid
  })
  for (const path of keyFiles) {
    if ((yield* kidIn(path)) !== kid) {
      return yield* new UsageInvalid({
        problem: `--key-file ${path} holds another key than ${own.value}`,
        help: "mosaic federation provisioner rotate --help"
      })
    }
  }
  // From there init.sh copies it to the gateways at every boot of the CA.
  const beside = join(dirname(dirname(caConfig)), "gateway", "provisioner_key.jwe")
  const copies =
    existsSync(beside) && (yield* Effect.orElseSucceed(kidIn(beside), () => "another")) === kid
      ? [beside]
      : []
  return [...new Set([own.value, ...copies, ...keyFiles].map((path) => resolve(path)))]
})

/** Whether this is the CA's own configuration, and nobody else is at its provisioners. */
const checkCaConfig = Effect.fnUntraced(function* (path: string, provisioner: string, kid: string) {
  const unusable = (problem: string) => new CaConfigUnusable({ path, problem })
  const provisioners = yield* readProvisioners(path)
  const found = named(provisioners, provisioner)
  if (found === undefined || found.type.toUpperCase() !== "JWK") {
    return yield* unusable(`has no JWK provisioner ${provisioner}`)
  }
  if (found.key?.kid !== kid) {
    return yield* unusable(
      `has the key ${found.key?.kid ?? "none"} for ${provisioner}, and the key file has ${kid}`
    )
  }
  if (named(provisioners, nameBeside(provisioner)) !== undefined) {
    return yield* unusable(
      `has a provisioner ${nameBeside(provisioner)} already, of a rotation whose state is not here`
    )
  }
})

/** Everything that can be wrong is found before anything is written. */
export const planOf = Effect.fnUntraced(function* (
  settings: IssuanceSettings,
  options: Pick<RotationOptions, "caConfig" | "keyFiles" | "stateDirectory">
) {
  const { provisioner, provisionerKey } = settings
  if (Option.isSome(provisionerKey.provisioner) && provisioner.endsWith(nameBeside(""))) {
    return yield* new RotationStateUnusable({
      directory: options.stateDirectory,
      problem: `the key file is in the middle of a rotation (${provisioner}) that is not on record here`
    })
  }
  if (Option.isSome(yield* optionalSetting("STEP_CA_PROVISIONER_KID"))) {
    return yield* new ConfigInvalid({
      variable: "STEP_CA_PROVISIONER_KID",
      problem: "it holds the new key to the id of the old one",
      expects: "nothing: unset it, the id of a key is its thumbprint"
    })
  }
  const keyFiles = yield* findKeyFiles(options, provisionerKey.kid)
  yield* checkCaConfig(options.caConfig, provisioner, provisionerKey.kid)
  return { provisioner, oldKid: provisionerKey.kid, keyFiles }
})
