/**
 * Puts a new key in the place of the one by which certificates are authorised at the CA, while certificates go on being
 * issued. step-ca knows a provisioner by its name and has one key for each, so the new key begins under a name of its own
 * beside the old one, is proved by a signing, taken over by the gateways, and takes the old one's place once no token of it
 * can be on its way. docs/federation/rotation.md has the phases. Each can be done twice, so a crash at any step costs a
 * repetition: whoever calls this again goes on where the record says.
 */
import { IssuanceConfig, type IssuanceSettings } from "@mosaic-federation/issuance/IssuanceConfig"
import { DateTime, Effect, type FileSystem, Option, type Scope } from "effect"
import { planOf } from "./rotation/planOf.ts"
import { replaceFile } from "./rotation/replaceFile.ts"
import type { ProvisionerRotationError, RotationOptions } from "./rotation/Rotation.ts"
import { keysOf, makeKey, readText } from "./rotation/RotationKeys.ts"
import {
  forgetKey,
  hasPassed,
  isOver,
  keyPath,
  lockOf,
  type Phase,
  phaseOf,
  phases,
  readState,
  type RotationState,
  writeState
} from "./rotation/RotationState.ts"
import { steps } from "./rotation/rotationSteps.ts"

/** The keys first: a record without them would be of no use, keys without a record are of no use to anybody. */
const begin = Effect.fnUntraced(function* (settings: IssuanceSettings, options: RotationOptions) {
  const planned = yield* planOf(settings, options)
  const { jwe, kid } = yield* makeKey
  const directory = options.stateDirectory
  yield* replaceFile(keyPath(directory, "old"), yield* readText(planned.keyFiles[0] ?? ""))
  yield* replaceFile(keyPath(directory, "new"), jwe)
  const state: RotationState = {
    version: 1,
    ...planned,
    newKid: kid,
    done: [{ phase: "begun", at: yield* DateTime.now }]
  }
  yield* writeState(directory, state)
  return state
})

const after = (state: RotationState, phase: Phase, at: DateTime.Utc): RotationState => ({
  ...state,
  done: [...state.done, { phase, at }]
})

/** A key is forgotten once it is on record that nothing needs it any more. */
const forgetKeys = Effect.fnUntraced(function* (directory: string, state: RotationState) {
  if (hasPassed(state, "removed")) yield* forgetKey(directory, "old")
  if (isOver(state)) yield* forgetKey(directory, "new")
})

export interface RotationPlan {
  readonly provisioner: string
  readonly oldKid: string
  readonly keyFiles: ReadonlyArray<string>
  /** Where a rotation was begun and is not over. */
  readonly state: Option.Option<RotationState>
}

/** What `rotate` would do; nothing is changed. */
export const planRotation = Effect.fn("ProvisionerRotation.plan")(function* (
  options: Pick<RotationOptions, "caConfig" | "keyFiles" | "stateDirectory">
): Effect.fn.Return<RotationPlan, ProvisionerRotationError, IssuanceConfig | FileSystem.FileSystem> {
  const state = Option.filter(yield* readState(options.stateDirectory), (found) => !isOver(found))
  if (Option.isSome(state)) {
    const { keyFiles, oldKid, provisioner } = state.value
    return { provisioner, oldKid, keyFiles, state }
  }
  return { ...(yield* planOf(yield* IssuanceConfig, options)), state }
})

/** Ends with the rotation, whether it began here or goes on. */
export const rotate = Effect.fn("ProvisionerRotation.rotate")(function* (
  options: RotationOptions
): Effect.fn.Return<
  RotationState,
  ProvisionerRotationError,
  IssuanceConfig | FileSystem.FileSystem | Scope.Scope
> {
  const settings = yield* IssuanceConfig
  const directory = options.stateDirectory
  yield* lockOf(directory)
  const found = Option.filter(yield* readState(directory), (one) => !isOver(one))
  let state = Option.isSome(found) ? found.value : yield* begin(settings, options)
  yield* forgetKeys(directory, state)
  yield* options.tell(state)
  const keys = yield* keysOf(directory, state)
  const from = phases.indexOf(phaseOf(state))
  for (const [phase, step] of steps.slice(from)) {
    yield* step({ ...keys, settings, options, state })
    state = after(state, phase, yield* DateTime.now)
    yield* writeState(directory, state)
    yield* forgetKeys(directory, state)
    yield* options.tell(state)
  }
  return state
})
