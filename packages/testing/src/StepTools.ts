/**
 * Finds step-ca, step and a jq, or builds them: first what the environment names, then PATH, then the cache, and at last
 * `go build` from the checksummed `infra/step-ca/tools/go.mod`. The exact versions are those that go.mod pins. Starting
 * a CA with them is left to `StepCaProcess`.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { basename, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Schema } from "effect"
import { findGo, isAtLeast, onPath, type GoToolchain } from "./GoToolchain.ts"
import { cacheHome } from "./internal/cacheHome.ts"
import { withDirectoryLock } from "./internal/directoryLock.ts"
import { runCommand } from "./internal/runCommand.ts"
import { CurrentProgress } from "./Progress.ts"

export interface StepTool {
  readonly path: string
  readonly version: string
  readonly origin: "environment" | "PATH" | "cache" | "built"
}

export interface StepTools {
  readonly stepCa: StepTool
  readonly step: StepTool
  /** jq or gojq, whichever comes first. */
  readonly jq: StepTool
}

export class StepToolUnusable extends Schema.TaggedError<StepToolUnusable>()("StepToolUnusable", {
  variable: Schema.String,
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.variable}=${this.path} cannot be used: ${this.reason}. Correct ${this.variable}, or unset it to search PATH and the cache.`
  }
}

export class StepToolsMissing extends Schema.TaggedError<StepToolsMissing>()("StepToolsMissing", {
  tools: Schema.Array(Schema.String),
  reason: Schema.String,
  remedies: Schema.Array(Schema.String)
}) {
  override get message() {
    const lines = this.remedies.map((remedy) => `  - ${remedy}`)
    return [
      `${this.tools.join(", ")} not found, and not built: ${this.reason}.`,
      "Do one of these:",
      ...lines
    ].join("\n")
  }
}

const directory = fileURLToPath(new URL("../../../infra/step-ca/tools", import.meta.url))
const goMod = readFileSync(join(directory, "go.mod"), "utf8")

const pinned = (expression: RegExp): string => {
  const version = expression.exec(goMod)?.[1]
  if (version === undefined) throw new Error(`${directory}/go.mod has no line like ${expression.source}`)
  return version
}

const leastGo = pinned(/^go (\S+)$/m)

interface ToolSpec {
  readonly variable: string
  /** The name of its file in the cache. */
  readonly binary: string
  readonly onPath: ReadonlyArray<string>
  readonly source: string
  readonly pinned: string
  readonly versionArgument: string
  readonly version: RegExp
  readonly accepts: (version: string) => boolean
  readonly wanted: string
}

const exactly = (version: string) => ({
  pinned: version,
  wanted: version,
  accepts: (found: string) => found === version
})

const specs = {
  stepCa: {
    variable: "STEP_CA_BIN",
    binary: "step-ca",
    onPath: ["step-ca"],
    source: "github.com/smallstep/certificates/cmd/step-ca",
    versionArgument: "version",
    version: /^Smallstep CA\/(\S+)/m,
    ...exactly(pinned(/^\s*github\.com\/smallstep\/certificates v(\S+)/m))
  },
  step: {
    variable: "STEP_BIN",
    binary: "step",
    onPath: ["step"],
    source: "github.com/smallstep/cli/cmd/step",
    versionArgument: "version",
    version: /^Smallstep CLI\/(\S+)/m,
    ...exactly(pinned(/^\s*github\.com\/smallstep\/cli v(\S+)/m))
  },
  jq: {
    variable: "JQ_BIN",
    binary: "gojq",
    onPath: ["jq", "gojq"],
    source: "github.com/itchyny/gojq/cmd/gojq",
    pinned: pinned(/^\s*github\.com\/itchyny\/gojq v(\S+)/m),
    versionArgument: "--version",
    version: /^(?:jq-|gojq )(\d\S*)/m,
    // jq 1.6 brought walk and --rawfile; gojq counts on its own, from 0.
    accepts: (version) => version.startsWith("0.") || isAtLeast(version, "1.6"),
    wanted: "1.6 or newer"
  }
} satisfies Record<keyof StepTools, ToolSpec>

type Looked =
  | { readonly _tag: "Version"; readonly version: string }
  | { readonly _tag: "Other"; readonly reason: string }

/** What smallstep's programs say when `go install` made them: it sets no version. */
const unset = "0000000-dev"

/** The version of the module that a Go program was built from, as `go version -m` prints it: it stands in the file. */
const moduleVersion = (spec: ToolSpec, path: string): string | undefined => {
  const program = readFileSync(path)
  const mark = `mod\t${spec.source.replace(/\/cmd\/.*$/, "")}\t`
  const at = program.indexOf(mark)
  if (at < 0) return undefined
  const from = at + mark.length
  return /^v(\d[\w.-]*)\t/.exec(program.toString("latin1", from, from + 64))?.[1]
}

const lookAt = Effect.fnUntraced(function* (spec: ToolSpec, path: string) {
  const ended = yield* runCommand({ file: path, args: [spec.versionArgument], timeoutMillis: 60_000 })
  const stated = spec.version.exec(ended.stdout)?.[1]
  if (ended.code === 0 && stated !== undefined) {
    const version = stated === unset ? (moduleVersion(spec, path) ?? stated) : stated
    return { _tag: "Version", version } satisfies Looked
  }
  const said = (ended.stderr.trim() || ended.stdout.trim()).split("\n")[0] ?? ""
  const reason = `it does not answer "${spec.versionArgument}" as ${spec.binary} does (${said})`
  return { _tag: "Other", reason } satisfies Looked
})

const fromEnvironment = Effect.fnUntraced(function* (spec: ToolSpec) {
  const { say } = yield* CurrentProgress
  const path = process.env[spec.variable]
  if (path === undefined || path === "") return undefined
  const absolute = resolve(path)
  const looked: Looked = yield* lookAt(spec, absolute)
  if (looked._tag === "Other") {
    return yield* new StepToolUnusable({ variable: spec.variable, path, reason: looked.reason })
  }
  if (!spec.accepts(looked.version)) {
    say(`${spec.variable}: ${absolute} is ${looked.version}, this project is tested with ${spec.wanted}`)
  }
  return { path: absolute, version: looked.version, origin: "environment" } as const
})

const fromPath = Effect.fnUntraced(function* (spec: ToolSpec) {
  const { say } = yield* CurrentProgress
  for (const path of spec.onPath.flatMap(onPath)) {
    const looked: Looked = yield* lookAt(spec, path)
    if (looked._tag === "Version" && spec.accepts(looked.version)) {
      return { path, version: looked.version, origin: "PATH" } as const
    }
    const why = looked._tag === "Version" ? `it is ${looked.version}, not ${spec.wanted}` : looked.reason
    say(`${path} passed over: ${why}`)
  }
  return undefined
})

/** Another pin, or another kind of machine, is another directory. */
export const toolsCache = (): string => {
  const hash = createHash("sha256")
    .update(goMod)
    .update(readFileSync(join(directory, "go.sum")))
    .update(`${process.platform}-${process.arch}`)
  return join(cacheHome(), "tools", hash.digest("hex").slice(0, 16))
}

/** Only what was built and tried is ever renamed into the cache, so what lies there is whole. */
const fromCache = (spec: ToolSpec, origin: "cache" | "built"): StepTool | undefined => {
  const path = join(toolsCache(), spec.binary)
  return existsSync(path) ? { path, version: spec.pinned, origin } : undefined
}

const remedies = (missing: ReadonlyArray<ToolSpec>): ReadonlyArray<string> => [
  `install Go ${leastGo} or newer (https://go.dev/dl) with access to a Go module proxy; the rest is built by itself`,
  `install on PATH: ${missing.map(({ pinned: version, source }) => `CGO_ENABLED=0 go install ${source}@v${version}`).join(" && ")}`,
  `name programs that you have: ${missing.map(({ binary, variable }) => `${variable}=/path/to/${binary}`).join(" ")}`
]

const hints: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /no space left on device/i,
    "the disk is full: free about 2 GB (go clean -cache frees Go's own), then try again"
  ],
  [
    /dial tcp|i\/o timeout|no such host|connection refused|proxyconnect|TLS handshake|unexpected EOF/i,
    "the Go module proxy was not reached: check the network and GOPROXY, then try again"
  ],
  [
    /checksum mismatch|SECURITY ERROR/,
    "a module differs from infra/step-ca/tools/go.sum: do not use this proxy"
  ]
]

const plural = (count: number, noun: string) => `${count} ${noun}${count === 1 ? "" : "s"}`

const elapsed = (since: number) => `${Math.round((Date.now() - since) / 1000)} s`

const build = Effect.fn("StepTools.build")(function* (missing: ReadonlyArray<ToolSpec>, go: GoToolchain) {
  const { say, update } = yield* CurrentProgress
  const names = missing.map(({ binary }) => binary).join(", ")
  const sources = missing.map(({ source }) => source)
  const since = Date.now()
  say(`building ${names} with Go ${go.version}; about two minutes when nothing is cached`)

  const fail = (stderr: string) => {
    const words = stderr.trim().split("\n").slice(-5).join("\n")
    const hint = hints.find(([expression]) => expression.test(stderr))?.[1]
    return new StepToolsMissing({
      tools: missing.map(({ binary }) => binary),
      reason: `go build failed: ${words}`,
      remedies: [...(hint === undefined ? [] : [hint]), ...remedies(missing)]
    })
  }
  const flags = ["-mod=readonly", "-trimpath", "-ldflags=-s -w"]
  const run = (args: ReadonlyArray<string>, onStderrLine: (line: string) => void) =>
    runCommand({ file: go.path, args, cwd: directory, env: go.env, onStderrLine }).pipe(
      Effect.filterOrFail(
        ({ code }) => code === 0,
        ({ stderr }) => fail(stderr)
      )
    )

  let modules = 0
  // Stale packages are those that go build will compile: what Go's own cache has is not.
  const template = "{{if .Stale}}{{.ImportPath}}{{end}}"
  const listed = yield* run(["list", "-deps", ...flags, "-f", template, ...sources], (line) => {
    if (!line.startsWith("go: downloading")) return
    modules += 1
    update(`building ${names}: ${plural(modules, "module")} downloaded, ${elapsed(since)}`)
  })
  const total = listed.stdout.split("\n").filter((line) => line !== "").length

  const cache = toolsCache()
  const staging = mkdtempSync(`${cache}.build-`)
  let compiled = 0
  yield* Effect.gen(function* () {
    yield* run(["build", "-v", ...flags, "-o", `${staging}/`, ...sources], (line) => {
      if (line.startsWith("go: ")) return
      compiled += 1
      update(
        `building ${names}: ${Math.min(compiled, total)} of ${plural(total, "package")}, ${elapsed(since)}`
      )
    })
    mkdirSync(cache, { recursive: true })
    for (const spec of missing) {
      const looked: Looked = yield* lookAt(spec, join(staging, spec.binary))
      if (looked._tag === "Other")
        return yield* fail(`the new ${spec.binary} does not work: ${looked.reason}`)
      renameSync(join(staging, spec.binary), join(cache, spec.binary))
    }
  }).pipe(Effect.ensuring(Effect.sync(() => rmSync(staging, { recursive: true, force: true }))))
  say(`built ${names} in ${elapsed(since)}`)
})

const buildMissing = Effect.fnUntraced(function* (missing: ReadonlyArray<ToolSpec>) {
  const { say } = yield* CurrentProgress
  const go = yield* findGo(directory, leastGo).pipe(
    Effect.mapError(
      ({ reason }) =>
        new StepToolsMissing({
          tools: missing.map(({ binary }) => binary),
          reason,
          remedies: remedies(missing)
        })
    )
  )
  const cache = toolsCache()
  mkdirSync(join(cache, ".."), { recursive: true })
  yield* withDirectoryLock(
    `${cache}.lock`,
    Effect.sync(() => say("another process is building the same programs: waiting for it")),
    Effect.suspend(() => {
      const still = missing.filter((spec) => fromCache(spec, "cache") === undefined)
      return still.length === 0 ? Effect.void : build(still, go)
    })
  )
})

const search = Effect.fnUntraced(function* (spec: ToolSpec) {
  return (yield* fromEnvironment(spec)) ?? (yield* fromPath(spec)) ?? fromCache(spec, "cache")
})

/** Finds or builds all three. The second time, nothing is slow. */
export const stepTools = Effect.fn("StepTools.find")(function* (): Effect.fn.Return<
  StepTools,
  StepToolUnusable | StepToolsMissing
> {
  const keys = ["stepCa", "step", "jq"] as const
  const found = yield* Effect.all(
    keys.map((key) => search(specs[key])),
    { concurrency: "unbounded" }
  )
  const missing = keys.filter((_, index) => found[index] === undefined).map((key) => specs[key])
  if (missing.length > 0) yield* buildMissing(missing)
  const tool = Effect.fnUntraced(function* (key: keyof StepTools) {
    const known = found[keys.indexOf(key)] ?? fromCache(specs[key], "built")
    if (known !== undefined) return known
    const { binary } = specs[key]
    return yield* new StepToolsMissing({
      tools: [binary],
      reason: `${join(toolsCache(), binary)} vanished`,
      remedies: ["try again"]
    })
  })
  return { stepCa: yield* tool("stepCa"), step: yield* tool("step"), jq: yield* tool("jq") }
})

/** One line for a person: which program, where it came from, where it lies. */
export const describeTool = ({ origin, path, version }: StepTool): string => {
  const from = {
    environment: "named by the environment",
    PATH: "found on PATH",
    cache: "found in the cache",
    built: "built"
  }[origin]
  return `${basename(path)} ${version}, ${from}: ${path}`
}
