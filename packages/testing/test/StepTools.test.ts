import { spawn } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isAtLeast } from "../src/GoToolchain.ts"
import { type StepTools, stepTools } from "../src/StepTools.ts"

interface Outcome {
  readonly tools?: StepTools
  readonly error?: { readonly _tag: string; readonly message: string }
  readonly said: ReadonlyArray<string>
}

const findTools = (env: Readonly<Record<string, string>>) =>
  Effect.promise(async () => {
    const program = fileURLToPath(new URL("programs/findTools.ts", import.meta.url))
    const child = spawn(process.execPath, [program], { env, stdio: ["ignore", "pipe", "inherit"] })
    return JSON.parse(await text(child.stdout)) as Outcome
  })

const script = (path: string, lines: ReadonlyArray<string>) => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, ["#!/bin/sh", ...lines, ""].join("\n"))
  chmodSync(path, 0o755)
  return path
}

/** A machine with nothing but a shell and what the test puts into `bin`. */
const machine = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-tools-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  ),
  (directory) => {
    const bin = join(directory, "bin")
    const system = join(directory, "system")
    for (const name of ["sh", "cat", "chmod", "sleep"]) script(join(system, name), [`exec /bin/${name} "$@"`])
    return {
      directory,
      bin,
      env: { PATH: `${bin}:${system}`, HOME: directory, XDG_CACHE_HOME: join(directory, "cache") }
    }
  }
)

const answering = (program: string, version: string) => [
  `echo "Smallstep ${program}/${version} (linux/amd64)"`
]

/** A Go that builds once two have asked for it, takes its time then, notes each build, and makes programs that know their version. */
const goThatBuilds = (directory: string) => [
  `log=${directory}/go.log`,
  'case "$1" in',
  `  env) : >${directory}/asked.$PPID; echo go1.26.8 ;;`,
  "  list) echo some/package ;;",
  "  build)",
  '    echo "build GOTOOLCHAIN=$GOTOOLCHAIN CGO_ENABLED=$CGO_ENABLED GOOS=$GOOS $*" >>"$log"',
  `    until (set -- ${directory}/asked.*; [ $# -ge 2 ]); do sleep 0.05; done`,
  "    sleep 1",
  '    while [ "$1" != -o ]; do shift; done',
  `    printf '#!/bin/sh\\necho "Smallstep CA/0.30.2 (x)"\\n' >"$2/step-ca"`,
  `    printf '#!/bin/sh\\necho "Smallstep CLI/0.30.2 (x)"\\n' >"$2/step"`,
  `    printf '#!/bin/sh\\necho "gojq 0.12.17 (x)"\\n' >"$2/gojq"`,
  '    chmod 755 "$2/step-ca" "$2/step" "$2/gojq" ;;',
  "esac"
]

describe("StepTools", () => {
  it.live("takes what the environment names before anything else", () =>
    Effect.gen(function* () {
      const { bin, directory, env } = yield* machine
      script(join(bin, "step-ca"), answering("CA", "0.30.2"))
      script(join(bin, "step"), answering("CLI", "0.30.2"))
      script(join(bin, "jq"), ["echo jq-1.7.1"])
      const own = script(join(directory, "own", "my-ca"), answering("CA", "0.31.0"))
      const { said, tools } = yield* findTools({ ...env, STEP_CA_BIN: own })
      assert.deepStrictEqual(tools, {
        stepCa: { path: own, version: "0.31.0", origin: "environment" },
        step: { path: join(bin, "step"), version: "0.30.2", origin: "PATH" },
        jq: { path: join(bin, "jq"), version: "1.7.1", origin: "PATH" }
      })
      assert.deepStrictEqual(said, [`STEP_CA_BIN: ${own} is 0.31.0, this project is tested with 0.30.2`])
    })
  )

  it.live("refuses a program that the environment names and that is none", () =>
    Effect.gen(function* () {
      const { directory, env } = yield* machine
      const { error } = yield* findTools({ ...env, STEP_CA_BIN: join(directory, "nothing") })
      assert(error !== undefined)
      assert.strictEqual(error._tag, "StepToolUnusable")
      assert.match(error.message, /^STEP_CA_BIN=.*nothing cannot be used: .*ENOENT.*unset it to search PATH/)
    })
  )

  it.live("passes over another version on PATH, says so, and says exactly what to install", () =>
    Effect.gen(function* () {
      const { bin, env } = yield* machine
      script(join(bin, "step-ca"), answering("CA", "0.28.1"))
      script(join(bin, "step"), ["echo KDE", "exit 1"])
      script(join(bin, "jq"), ["echo jq-1.5"])
      const { error, said } = yield* findTools(env)
      assert.deepInclude(said, `${join(bin, "step-ca")} passed over: it is 0.28.1, not 0.30.2`)
      assert.deepInclude(said, `${join(bin, "jq")} passed over: it is 1.5, not 1.6 or newer`)
      assert.match(said.join("\n"), /\/step passed over: it does not answer "version" as step does \(KDE\)/)
      assert(error !== undefined)
      assert.strictEqual(error._tag, "StepToolsMissing")
      assert.include(error.message, "step-ca, step, gojq not found, and not built: Go is not installed")
      assert.include(
        error.message,
        "CGO_ENABLED=0 go install github.com/smallstep/certificates/cmd/step-ca@v0.30.2"
      )
      assert.include(error.message, "install Go 1.25.8 or newer")
      assert.include(error.message, "STEP_CA_BIN=/path/to/step-ca")
    })
  )

  it.live("knows the version of what go install made, which says none itself", () =>
    Effect.gen(function* () {
      const { bin, env } = yield* machine
      const { step, stepCa } = yield* stepTools()
      script(join(bin, "jq"), ["echo jq-1.7.1"])
      for (const { path } of [stepCa, step]) symlinkSync(path, join(bin, basename(path)))
      const { said, tools } = yield* findTools(env)
      assert.deepStrictEqual(
        [tools?.stepCa, tools?.step],
        [
          { path: join(bin, basename(stepCa.path)), version: "0.30.2", origin: "PATH" },
          { path: join(bin, basename(step.path)), version: "0.30.2", origin: "PATH" }
        ]
      )
      assert.deepStrictEqual(said, [])
      unlinkSync(join(bin, "step-ca"))
      const other = script(join(bin, "step-ca"), [
        ...answering("CA", "0000000-dev"),
        "exit",
        "mod\tgithub.com/smallstep/certificates\tv0.29.0\th1:"
      ])
      assert.deepInclude((yield* findTools(env)).said, `${other} passed over: it is 0.29.0, not 0.30.2`)
    })
  )

  it.live("says why an old Go does not do", () =>
    Effect.gen(function* () {
      const { bin, env } = yield* machine
      script(join(bin, "go"), [
        'if [ "$GOTOOLCHAIN" = local ]; then echo go1.24.2; exit; fi',
        'echo "go: download go1.25.8: no such host" >&2',
        "exit 1"
      ])
      const forbidden = yield* findTools({ ...env, GOTOOLCHAIN: "local" })
      assert.include(
        forbidden.error?.message,
        `${join(bin, "go")} is Go 1.24.2, older than 1.25.8, and GOTOOLCHAIN=local forbids it to fetch another`
      )
      const offline = yield* findTools(env)
      assert.include(
        offline.error?.message,
        "older than 1.25.8, and could not fetch a newer one: go: download go1.25.8: no such host"
      )
    })
  )

  it.live("says what to do where the build fails", () =>
    Effect.gen(function* () {
      const { bin, env } = yield* machine
      script(join(bin, "go"), [
        '[ "$1" = env ] && echo go1.26.8 && exit',
        'echo "go: github.com/smallstep/cli: dial tcp: lookup proxy.example: no such host" >&2',
        "exit 1"
      ])
      const { error } = yield* findTools(env)
      assert(error !== undefined)
      assert.strictEqual(error._tag, "StepToolsMissing")
      assert.include(error.message, "go build failed: go: github.com/smallstep/cli: dial tcp")
      assert.include(error.message, "the Go module proxy was not reached: check the network and GOPROXY")
    })
  )

  it.live("builds once for two processes, without C and for this machine, and finds it the next time", () =>
    Effect.gen(function* () {
      const { bin, directory, env } = yield* machine
      script(join(bin, "go"), goThatBuilds(directory))
      const crossing = { ...env, GOOS: "plan9", CGO_ENABLED: "1" }
      const both = yield* Effect.all([findTools(crossing), findTools(crossing)], { concurrency: 2 })
      for (const { tools } of both) assert.strictEqual(tools?.stepCa.origin, "built")
      assert.match(
        both.flatMap(({ said }) => said).join("\n"),
        /another process is building the same programs/
      )
      const builds = readFileSync(join(directory, "go.log"), "utf8").trim().split("\n")
      assert.strictEqual(builds.length, 1)
      assert.match(builds[0] ?? "", /^build GOTOOLCHAIN=local CGO_ENABLED=0 GOOS= .*-mod=readonly -trimpath/)

      const { tools } = yield* findTools({ ...env, PATH: join(directory, "system") })
      assert(tools !== undefined)
      assert.strictEqual(tools.stepCa.origin, "cache")
      const cache = dirname(tools.stepCa.path)
      assert.isTrue(cache.startsWith(join(directory, "cache", "mosaic-federation", "tools")))
      assert.deepStrictEqual(readdirSync(cache).toSorted(), ["gojq", "step", "step-ca"])
      assert.deepStrictEqual(readdirSync(dirname(cache)), [cache.slice(dirname(cache).length + 1)])
      assert.isFalse(existsSync(`${cache}.lock`))
    })
  )
})

describe("isAtLeast", () => {
  it("compares versions by their numbers", () => {
    const rows: ReadonlyArray<readonly [string, string, boolean]> = [
      ["1.25.8", "1.25.8", true],
      ["1.25.10", "1.25.8", true],
      ["1.26", "1.25.8", true],
      ["1.26rc1", "1.25.8", true],
      ["2.0", "1.25.8", true],
      ["devel go1.27-abc", "1.25.8", true],
      ["1.25", "1.25.8", false],
      ["1.25.7", "1.25.8", false],
      ["1.9.9", "1.25.8", false],
      ["1.6", "1.6", true],
      ["1.7.1", "1.6", true],
      ["1.5", "1.6", false]
    ]
    for (const [version, least, expected] of rows) {
      assert.strictEqual(isAtLeast(version, least), expected, `${version} >= ${least}`)
    }
  })
})
