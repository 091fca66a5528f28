/** The log of a command that is no server: one line of `name=value` on standard error, for whoever reads it there. */
import { entryOf } from "@mosaic-federation/gateway/server/ServerLog"
import { Logger } from "effect"

const valueOf = (value: unknown): string => {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value))
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)
}

const line = Logger.make((options) =>
  Object.entries(entryOf(options))
    .map(([name, value]) => `${name}=${valueOf(value)}`)
    .join(" ")
)

export const layer = Logger.layer([Logger.withConsoleError(line)])
