/** The roots and object identifiers by which a command judges a certificate, without any other setting. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Option } from "effect"

const loadSettings = Effect.promise(() =>
  Promise.all([
    import("@mosaic-federation/issuance/Setting"),
    import("@mosaic-federation/issuance/TrustConfig")
  ])
)

/** `--root`, else `STEP_CA_ROOT_CERT_PATH`, else none. */
export const readTrust = Effect.fnUntraced(function* (root: Option.Option<string>) {
  const [{ optionalSetting }, { readOids, readRootFile }] = yield* loadSettings
  const variable = "STEP_CA_ROOT_CERT_PATH"
  const oids = yield* readOids
  const path = Option.isSome(root) ? root : yield* optionalSetting(variable)
  if (Option.isNone(path)) return { oids, roots: [] }
  return { oids, roots: yield* readRootFile(Option.isSome(root) ? "--root" : variable, path.value) }
}, Effect.provide(NodeFileSystem.layer))
