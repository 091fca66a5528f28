/**
 * What is on record of one rotation, in a directory of its own: how far it has come, and until it has ended both keys, in
 * the form of the key files, encrypted as those are. A phase is on record once it is over, so whoever finds the record
 * does the next one, whole or for a second time.
 */
import { existsSync, mkdirSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { OutputUnwritable } from "@mosaic-federation/domain/CommandErrors"
import { RotationStateUnusable, RotationUnderWay } from "@mosaic-federation/domain/RotationErrors"
import { processIsRunning } from "@mosaic-federation/issuance/processIsRunning"
import { Effect, Option, Schema } from "effect"
import { replaceFile } from "./replaceFile.ts"

/** In their order. */
export const phases = [
  "begun",
  "prepared",
  "proved",
  "switched",
  "drained",
  "removed",
  "returned",
  "settled"
] as const

export const Phase = Schema.Literals(phases)
export type Phase = typeof Phase.Type

const RotationState = Schema.Struct({
  version: Schema.Literal(1),
  provisioner: Schema.String,
  oldKid: Schema.String,
  newKid: Schema.String,
  keyFiles: Schema.Array(Schema.String),
  /** The phases that are over, with the moment at which each was. */
  done: Schema.Array(Schema.Struct({ phase: Phase, at: Schema.DateTimeUtcFromString }))
})

export type RotationState = typeof RotationState.Type

const StateJson = Schema.fromJsonString(RotationState)
const decode = Schema.decodeUnknownOption(StateJson)
const encode = Schema.encodeSync(StateJson)

export const phaseOf = ({ done }: RotationState): Phase => done.at(-1)?.phase ?? "begun"

export const isOver = (state: RotationState): boolean => phaseOf(state) === "settled"

export const hasPassed = (state: RotationState, phase: Phase) =>
  phases.indexOf(phaseOf(state)) >= phases.indexOf(phase)

const statePath = (directory: string) => join(directory, "state.json")

export const keyPath = (directory: string, which: "old" | "new") => join(directory, `${which}_key.jwe`)

export const readState = (
  directory: string
): Effect.Effect<Option.Option<RotationState>, RotationStateUnusable> =>
  Effect.suspend(() => {
    const path = statePath(directory)
    if (!existsSync(path)) return Effect.succeed(Option.none())
    const state = Option.flatMap(Option.liftThrowable(() => readFileSync(path, "utf8"))(), (text) =>
      decode(text)
    )
    return Option.isNone(state)
      ? Effect.fail(
          new RotationStateUnusable({ directory, problem: "state.json cannot be read as a rotation's" })
        )
      : Effect.succeed(state)
  })

export const writeState = (directory: string, state: RotationState) =>
  replaceFile(statePath(directory), `${encode(state)}\n`)

export const forgetKey = (directory: string, which: "old" | "new") =>
  Effect.sync(() => rmSync(keyPath(directory, which), { force: true }))

/** Held by one process at a time; one that has died holds it no longer. */
export const lockOf = (directory: string) =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const path = join(directory, "lock")
      const take = Effect.try({
        try: () => {
          mkdirSync(directory, { recursive: true, mode: 0o700 })
          const descriptor = openSync(path, "wx", 0o600)
          writeFileSync(descriptor, `${process.pid}\n`)
          closeSync(descriptor)
        },
        catch: (error) => error as NodeJS.ErrnoException
      })
      const unwritable = (error: NodeJS.ErrnoException) =>
        new OutputUnwritable({
          path: directory,
          reason: error.code ?? error.message,
          recovery: "name a directory that this user can write with --state; nothing was changed"
        })
      const first = yield* Effect.result(take)
      if (first._tag === "Success") return path
      if (first.failure.code !== "EEXIST") return yield* unwritable(first.failure)
      const pid = Number(readFileSync(path, "utf8"))
      if (pid > 0 && processIsRunning(pid)) return yield* new RotationUnderWay({ directory, pid })
      rmSync(path, { force: true })
      yield* Effect.mapError(take, unwritable)
      return path
    }),
    (path) => Effect.sync(() => rmSync(path, { force: true }))
  )
