/** The root's private key does not lie where the CA is at work, as far as that can be seen from here. */
import { existsSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { optionalSetting } from "@mosaic-federation/issuance/Setting"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Option } from "effect"
import { type Check, remedy, warning } from "../Check.ts"
import { Subject } from "../Subject.ts"

const keyName = "root_ca_key"

/** `certs/` and `gateway/` of a CA's directory are beside its `secrets/`. */
const placesOf = (rootPath: string, stepPath: Option.Option<string>): ReadonlyArray<string> => {
  const directory = dirname(resolve(rootPath))
  return [
    join(directory, keyName),
    join(directory, "secrets", keyName),
    join(dirname(directory), "secrets", keyName),
    ...Option.match(stepPath, { onNone: () => [], onSome: (path) => [join(path, "secrets", keyName)] })
  ]
}

export const rootKey: Check = {
  id: "root-key",
  name: "root key",
  needs: ["settings"],
  ifSilent: () => remedy("see whether the directory answers", 'ls -l "$STEPPATH/secrets"'),
  run: () =>
    Effect.gen(function* () {
      const { caSettings } = yield* Subject
      const { rootPath } = yield* caSettings
      const stepPath = yield* Effect.orElseSucceed(optionalSetting("STEPPATH"), () => Option.none<string>())
      const found = placesOf(rootPath, stepPath).find((path) => existsSync(path))
      if (found === undefined) return { detail: "none in sight", evidence: { found: null } }
      return yield* warning({
        code: "ROOT_KEY_BESIDE_CA",
        problem: `${found} is the root's private key: whoever takes over this machine can make another CA that everybody trusts`,
        remedy: remedy(
          "move it, and the password that opens it, to a medium that is kept offline",
          `STEPPATH=${dirname(dirname(found))} MOSAIC_ROOT_KEY_OUT=/media/offline/${keyName} infra/step-ca/init.sh init`
        ),
        evidence: { found }
      })
    }).pipe(Effect.provide(NodeFileSystem.layer))
}
