/**
 * The environment of the programs that are started here. npm tells its scripts its own settings in variables, which
 * another npm or pnpm takes for settings of its own, and warns about or follows; those about the network stay.
 */
import { delimiter, sep } from "node:path"

const kept =
  /^npm_config_(?:registry|proxy|https?_proxy|https-proxy|noproxy|cafile|ca|strict[_-]ssl|userconfig|globalconfig|fetch_.*|cache|store[_-]dir|(?:prefer[_-])?offline|\/\/.*|@.*)$/i

const isBin = (directory) =>
  directory.endsWith(`${sep}node_modules${sep}.bin`) || directory.endsWith(`${sep}node-gyp-bin`)

/** `variables` without npm's, and PATH without the directories that npm puts before it. */
export const cleanEnvironment = (variables = process.env) => {
  const entries = Object.entries(variables).filter(
    ([name, value]) => !/^(?:npm|pnpm)_/i.test(name) || (kept.test(name) && value !== "")
  )
  const path = (variables.PATH ?? "").split(delimiter).filter((directory) => !isBin(directory))
  return { ...Object.fromEntries(entries), PATH: path.join(delimiter) }
}
