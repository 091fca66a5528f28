/** `bin/mosaic.mjs`, which must work, or say what is missing, on a Node that cannot run the command itself. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const write = (path: string, content: string) => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}

/** A checkout with the launcher and nothing else. */
const checkout = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-launcher-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  ),
  (root) => {
    const launcher = join(root, "packages", "cli", "bin", "mosaic.mjs")
    mkdirSync(dirname(launcher), { recursive: true })
    copyFileSync(fileURLToPath(new URL("../bin/mosaic.mjs", import.meta.url)), launcher)
    return { root, launcher, bundle: join(root, "packages", "cli", "dist", "mosaic.mjs") }
  }
)

const old = `data:text/javascript,${encodeURIComponent(
  'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.11.1" } })'
)}`

const launch = (root: string, launcher: string, flags: ReadonlyArray<string>) =>
  spawn(process.execPath, [...flags, launcher, "one", "two words"], {
    env: { PATH: process.env["PATH"], HOME: root },
    stdio: ["ignore", "pipe", "pipe"]
  })

const run = (root: string, launcher: string, flags: ReadonlyArray<string> = []) =>
  Effect.promise(async () => {
    const child = launch(root, launcher, flags)
    const [stdout, stderr, [code, signal]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit")
    ])
    return { stdout, stderr, code: code as number | null, signal: signal as string | null }
  })

const pinnedNode = (root: string, script: string) => {
  const path = join(root, "node_modules", "node", "bin", "node")
  write(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
}

describe("mosaic", () => {
  it.live("runs the bundle on a Node that can", () =>
    Effect.gen(function* () {
      const { bundle, launcher, root } = yield* checkout
      write(bundle, 'process.stdout.write(process.argv.slice(2).join("|")); process.exitCode = 4\n')
      const { code, stdout } = yield* run(root, launcher)
      assert.deepStrictEqual([stdout, code], ["one|two words", 4])
    })
  )

  it.live("says how to make the bundle where it is missing", () =>
    Effect.gen(function* () {
      const { bundle, launcher, root } = yield* checkout
      const { code, stderr } = yield* run(root, launcher)
      assert.strictEqual(code, 8)
      assert.include(stderr, `${bundle} is missing.`)
      assert.include(stderr, "npm run build")
    })
  )

  it.live("hands over to the pinned Node, and keeps its exit code", () =>
    Effect.gen(function* () {
      const { launcher, root } = yield* checkout
      pinnedNode(root, 'echo "$#:$2:$3"; exit 7')
      const { code, stdout } = yield* run(root, launcher, ["--import", old])
      assert.deepStrictEqual([stdout, code], ["3:one:two words\n", 7])
    })
  )

  it.live("passes signals on, and dies of the one that its Node died of", () =>
    Effect.gen(function* () {
      const { launcher, root } = yield* checkout
      pinnedNode(root, "trap 'echo got TERM; kill -KILL $$' TERM; echo ready; while :; do sleep 0.05; done")
      const child = launch(root, launcher, ["--import", old])
      let stdout = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk))
      const closed = once(child, "close")
      while (!stdout.includes("ready")) yield* Effect.promise(() => once(child.stdout, "data"))
      child.kill("SIGTERM")
      const [, signal] = yield* Effect.promise(() => closed)
      assert.strictEqual(signal, "SIGKILL")
      assert.include(stdout, "got TERM")
    })
  )

  it.live("says what is missing where there is no Node that can", () =>
    Effect.gen(function* () {
      const { launcher, root } = yield* checkout
      const { code, stderr } = yield* run(root, launcher, ["--import", old])
      assert.strictEqual(code, 8)
      assert.include(stderr, "It needs Node 22.19 or newer, this is 20.11.1")
      assert.include(stderr, "npm start or npm run build")
    })
  )
})
