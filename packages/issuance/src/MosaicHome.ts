/** Where state lives when nobody says otherwise. It only names the directory; whoever writes there creates it. */
import { homedir } from "node:os"
import { isAbsolute, join, resolve } from "node:path"
import { ConfigInvalid } from "@mosaic-federation/domain/ConfigurationErrors"
import { Effect, Option } from "effect"
import { isInProc } from "./ProcFileSystem.ts"
import { optionalSetting } from "./Setting.ts"

/**
 * An absolute path: `MOSAIC_HOME`, else `mosaic` in the data directory of the XDG base directory specification, which
 * tells to ignore an `XDG_DATA_HOME` that is not absolute.
 */
export const mosaicHome = Effect.gen(function* () {
  const variable = "MOSAIC_HOME"
  const home = yield* optionalSetting(variable)
  if (Option.isSome(home)) {
    const path = resolve(home.value)
    if (!isInProc(path)) return path
    return yield* new ConfigInvalid({
      variable,
      problem: `no directory can be made at ${path}, which is in the file system of processes`,
      expects: "a directory that this user can make or write in"
    })
  }
  const dataHome = Option.filter(yield* optionalSetting("XDG_DATA_HOME"), isAbsolute)
  return join(
    Option.getOrElse(dataHome, () => join(homedir(), ".local", "share")),
    "mosaic"
  )
})
