/**
 * Reads one setting from its variable or, for secrets that a container mounts as files, from the file that the same
 * name with `_FILE` appended names. What a value must look like is left to its reader.
 */
import {
  ConfigConflict,
  ConfigFileUnreadable,
  ConfigInvalid,
  ConfigMissing
} from "@mosaic-federation/domain/ConfigurationErrors"
import { Config, Effect, FileSystem, Option } from "effect"

/** Far above any key, password or root bundle, far below what would hurt. */
const mostBytes = 256 * 1024

export type SettingError = ConfigConflict | ConfigFileUnreadable | ConfigInvalid

const fromEnvironment = Effect.fnUntraced(function* (variable: string) {
  const value = yield* Config.option(Config.String(variable)).pipe(
    Effect.mapError(
      () => new ConfigInvalid({ variable, problem: "it is not a plain string", expects: "a plain string" })
    )
  )
  return Option.filter(value, (text) => text !== "")
})

/** Reads a file that a setting names: a regular file of at most 256 KiB. */
export const readSettingFile = Effect.fnUntraced(function* (variable: string, path: string) {
  const fs = yield* FileSystem.FileSystem
  const unreadable = (reason: string) => new ConfigFileUnreadable({ variable, path, reason })
  const info = yield* fs
    .stat(path)
    .pipe(
      Effect.mapError((error) =>
        unreadable(error.reason._tag === "NotFound" ? "no such file" : error.reason._tag)
      )
    )
  if (info.type !== "File") return yield* unreadable("not a regular file")
  if (info.size > mostBytes) return yield* unreadable(`larger than ${mostBytes} bytes`)
  return yield* fs.readFileString(path).pipe(Effect.mapError((error) => unreadable(error.reason._tag)))
})

/** Who puts the secret itself where its file's path belongs must not find it in a log: only a plain path is shown. */
const isPath = (value: string) => /^\.{0,2}\/\S*$/.test(value)

const notShown = (variable: string) =>
  new ConfigInvalid({
    variable,
    problem: "it names no file that can be read, and is not shown in case it is the value itself",
    expects: "the absolute path of a file that holds the value"
  })

export interface Sourced<A> {
  readonly value: A
  /** Where it comes from, in the words of whoever set it: a variable, a key of a file, `default`. */
  readonly source: string
}

/** An empty variable counts as unset: that is what `${NAME:-}` in a compose file makes of one. */
export const sourcedSetting = Effect.fnUntraced(function* (variable: string) {
  const direct = yield* fromEnvironment(variable)
  const fileVariable = `${variable}_FILE`
  const file = yield* fromEnvironment(fileVariable)
  if (Option.isSome(direct) && Option.isSome(file)) return yield* new ConfigConflict({ variable })
  if (Option.isNone(file)) {
    return Option.map(direct, (value): Sourced<string> => ({ value, source: variable }))
  }
  const text = yield* readSettingFile(fileVariable, file.value).pipe(
    Effect.mapError((error) => (isPath(file.value) ? error : notShown(fileVariable)))
  )
  // Editors and `echo` end a file with one newline, which is not part of the secret.
  const value = text.replace(/\r?\n$/, "")
  if (value === "") {
    return yield* new ConfigInvalid({
      variable: fileVariable,
      problem: `${file.value} is empty`,
      expects: "the path of a file that is not empty"
    })
  }
  return Option.some<Sourced<string>>({ value, source: fileVariable })
})

/** As `sourcedSetting`, for readers that need not say where it comes from. */
export const optionalSetting = (variable: string) =>
  Effect.map(
    sourcedSetting(variable),
    Option.map(({ value }) => value)
  )

export const requiredSetting = Effect.fnUntraced(function* (variable: string, expects: string) {
  const value = yield* optionalSetting(variable)
  return yield* Option.match(value, {
    onNone: () => Effect.fail(new ConfigMissing({ variable, expects })),
    onSome: Effect.succeed
  })
})
