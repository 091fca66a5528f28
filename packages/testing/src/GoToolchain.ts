/**
 * The Go that builds step-ca where there is none: found, checked for its version, and kept from the settings of a
 * developer's environment that would change what is built. What is built is left to `StepTools`.
 */
import { accessSync, constants } from "node:fs"
import { delimiter, isAbsolute, join } from "node:path"
import { Effect, Schema } from "effect"
import { runCommand } from "./internal/runCommand.ts"

export class GoUnavailable extends Schema.TaggedError<GoUnavailable>()("GoUnavailable", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

export interface GoToolchain {
  readonly path: string
  readonly version: string
  readonly env: NodeJS.ProcessEnv
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Files of this name on PATH, in its order. */
export const onPath = (name: string): ReadonlyArray<string> =>
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter(isAbsolute)
    .map((directory) => join(directory, name))
    .filter(isExecutable)

/** Settings that would build for another machine, from other sources, or with a C compiler. */
const environment = (toolchain: string): NodeJS.ProcessEnv => {
  const { GOARCH: _arch, GOOS: _os, GOEXPERIMENT: _experiment, ...rest } = process.env
  return { ...rest, CGO_ENABLED: "0", GO111MODULE: "on", GOWORK: "off", GOTOOLCHAIN: toolchain }
}

const numbers = (version: string) => version.split(/[^0-9]+/).map(Number)

/** `1.26.8` is at least `1.25.8`; so is a development version, which has no number. */
export const isAtLeast = (version: string, least: string): boolean => {
  if (!/^\d/.test(version)) return true
  const [found, wanted] = [numbers(version), numbers(least)]
  const at = wanted.findIndex((number, index) => (found[index] ?? 0) !== number)
  return at === -1 || (found[at] ?? 0) > (wanted[at] ?? 0)
}

const versionOf = Effect.fnUntraced(function* (path: string, env: NodeJS.ProcessEnv, cwd: string) {
  const { code, stderr, stdout } = yield* runCommand({ file: path, args: ["env", "GOVERSION"], cwd, env })
  return { version: code === 0 ? stdout.trim().replace(/^go/, "") : undefined, stderr: stderr.trim() }
})

/**
 * Finds a Go of at least `least`. An older one may fetch such a toolchain by itself, unless `GOTOOLCHAIN=local` forbids
 * it; `directory` holds the go.mod by which it chooses.
 */
export const findGo = Effect.fn("GoToolchain.find")(function* (
  directory: string,
  least: string
): Effect.fn.Return<GoToolchain, GoUnavailable> {
  const [path] = onPath("go")
  if (path === undefined) return yield* new GoUnavailable({ reason: "Go is not installed (no go on PATH)" })
  const local = environment("local")
  const here = yield* versionOf(path, local, "/")
  if (here.version === undefined) {
    return yield* new GoUnavailable({ reason: `${path} does not run: ${here.stderr}` })
  }
  if (isAtLeast(here.version, least)) return { path, version: here.version, env: local }
  const old = `${path} is Go ${here.version}, older than ${least}`
  if (process.env["GOTOOLCHAIN"] === "local") {
    return yield* new GoUnavailable({ reason: `${old}, and GOTOOLCHAIN=local forbids it to fetch another` })
  }
  const other = environment(process.env["GOTOOLCHAIN"] ?? "auto")
  const there = yield* versionOf(path, other, directory)
  if (there.version === undefined || !isAtLeast(there.version, least)) {
    const why = there.stderr.split("\n").at(-1) ?? ""
    return yield* new GoUnavailable({ reason: `${old}, and could not fetch a newer one: ${why}` })
  }
  return { path, version: there.version, env: other }
})
