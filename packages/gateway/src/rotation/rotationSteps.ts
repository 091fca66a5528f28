/** What is done for each phase of a rotation (docs/federation/rotation.md). Each can be done twice. */
import { optionalSetting } from "@mosaic-federation/issuance/Setting"
import { DateTime, Duration, Effect, type FileSystem, Option } from "effect"
import { named } from "./CaConfigFile.ts"
import { changeCa } from "./changeCa.ts"
import { proveKey, refusesOld } from "./provisionerProof.ts"
import { reload } from "./reload.ts"
import { replaceFile } from "./replaceFile.ts"
import { nameBeside, type ProvisionerRotationError, type Rotation } from "./Rotation.ts"
import { type Phase, phaseOf } from "./RotationState.ts"

/** A copy of the old entry under the new name, with the new key: claims, template and all else are the same. */
const addBeside = (rotation: Rotation) => {
  const { nextPublic, state } = rotation
  const beside = nameBeside(state.provisioner)
  return changeCa(
    rotation,
    (provisioners) => {
      const old = named(provisioners, state.provisioner)
      if (old === undefined || named(provisioners, beside) !== undefined) return provisioners
      const { encryptedKey: _, ...rest } = old
      return [...provisioners, { ...rest, name: beside, key: { ...nextPublic, kid: state.newKid } }]
    },
    (kids) => kids.get(beside) === state.newKid
  )
}

const writeKeyFiles = ({ options, state }: Rotation, content: string) =>
  Effect.gen(function* () {
    for (const path of state.keyFiles) yield* replaceFile(path, content)
    yield* reload("gateway", options.reloadGateway, phaseOf(state))
  })

/** Name and key in one file: whoever reads it has both of the new one, or both of the old one. */
const switchKey = (rotation: Rotation) => {
  const { nextJwe, nextPublic, state } = rotation
  const entry = {
    type: "JWK",
    name: nameBeside(state.provisioner),
    key: nextPublic,
    encryptedKey: nextJwe
  }
  return writeKeyFiles(rotation, `${JSON.stringify(entry)}\n`)
}

const drainedAt = ({ options, state }: Pick<Rotation, "options" | "state">, since: Phase) => {
  const done = state.done.find(({ phase }) => phase === since)
  return Option.map(Option.fromUndefinedOr(done), ({ at }) => DateTime.addDuration(at, options.drain))
}

const wait = Effect.fnUntraced(function* (rotation: Rotation, since: Phase) {
  const until = drainedAt(rotation, since)
  if (Option.isNone(until)) return
  const left = DateTime.toEpochMillis(until.value) - DateTime.toEpochMillis(yield* DateTime.now)
  if (left > 0) yield* Effect.sleep(Duration.millis(left))
})

/** init.sh puts the key that this file holds into ca.json at every boot: it is to be the new one. */
const publishKey = Effect.fnUntraced(function* ({ nextPublic }: Rotation) {
  const path = yield* optionalSetting("MOSAIC_PROVISIONER_JWK_FILE")
  if (Option.isSome(path)) yield* replaceFile(path.value, `${JSON.stringify(nextPublic)}\n`)
})

const replaceOld = Effect.fnUntraced(function* (rotation: Rotation) {
  const { next, nextPublic, settings, state } = rotation
  yield* publishKey(rotation)
  yield* changeCa(
    rotation,
    (provisioners) =>
      provisioners.map((one) => {
        if (one.name !== state.provisioner) return one
        const { encryptedKey: _, ...rest } = one
        return { ...rest, key: { ...nextPublic, kid: state.newKid } }
      }),
    (kids) => kids.get(state.provisioner) === state.newKid
  )
  yield* proveKey({ ...settings, provisioner: state.provisioner, provisionerKey: next })
  yield* refusesOld(rotation)
})

const returnName = (rotation: Rotation) => writeKeyFiles(rotation, `${rotation.nextJwe}\n`)

const removeBeside = Effect.fnUntraced(function* (rotation: Rotation) {
  const { next, settings, state } = rotation
  const beside = nameBeside(state.provisioner)
  yield* wait(rotation, "returned")
  yield* changeCa(
    rotation,
    (provisioners) => provisioners.filter(({ name }) => name !== beside),
    (kids) => !kids.has(beside)
  )
  yield* proveKey({ ...settings, provisioner: state.provisioner, provisionerKey: next })
})

type Step = (rotation: Rotation) => Effect.Effect<void, ProvisionerRotationError, FileSystem.FileSystem>

export const steps: ReadonlyArray<readonly [Phase, Step]> = [
  ["prepared", addBeside],
  [
    "proved",
    ({ next, settings, state }) =>
      proveKey({ ...settings, provisioner: nameBeside(state.provisioner), provisionerKey: next })
  ],
  ["switched", switchKey],
  ["drained", (rotation) => wait(rotation, "switched")],
  ["removed", replaceOld],
  ["returned", returnName],
  ["settled", removeBeside]
]
