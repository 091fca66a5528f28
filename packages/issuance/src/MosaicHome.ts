/** Where state lives when nobody says otherwise. It only names the directory; whoever writes there creates it. */
import { homedir } from "node:os"
import { isAbsolute, join, resolve } from "node:path"
import { Effect, Option } from "effect"
import { optionalSetting } from "./Setting.ts"

/**
 * An absolute path: `MOSAIC_HOME`, else `mosaic` in the data directory of the XDG base directory specification, which
 * tells to ignore an `XDG_DATA_HOME` that is not absolute.
 */
export const mosaicHome = Effect.gen(function* () {
  const home = yield* optionalSetting("MOSAIC_HOME")
  if (Option.isSome(home)) return resolve(home.value)
  const dataHome = Option.filter(yield* optionalSetting("XDG_DATA_HOME"), isAbsolute)
  return join(
    Option.getOrElse(dataHome, () => join(homedir(), ".local", "share")),
    "mosaic"
  )
})
