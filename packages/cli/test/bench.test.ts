/** `npm run bench` measures what it says, of the real parts. How fast they are is no test's business. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { documentOf } from "./support/mosaic.ts"

const task = fileURLToPath(new URL("../../../scripts/tasks/bench.ts", import.meta.url))

interface Measured {
  readonly perSecond: number
  readonly cpu: { readonly gateway: number; readonly postgres: number; readonly ca: number }
}

interface BenchDocument {
  readonly postgres: Readonly<Record<string, string>>
  readonly rows: ReadonlyArray<{
    readonly connections: number
    readonly ratio: number
    readonly bare: Measured
    readonly whole: Measured
  }>
}

describe("npm run bench", () => {
  it("--quick --json: ratios and CPU at 1, 16 and 64 connections, with PostgreSQL's own durability", async () => {
    const child = spawn(process.execPath, [task, "--quick", "--json"], { stdio: ["ignore", "pipe", "pipe"] })
    const [stdout, progress, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit")
    ])
    assert.strictEqual(code, 0, progress)
    assert.include(progress, "16 connections, round 1 of 1")
    const { postgres, rows } = documentOf<BenchDocument>(stdout)
    const { fsync, full_page_writes: fullPages, synchronous_commit: commit } = postgres
    assert.deepStrictEqual([fsync, fullPages, commit], ["on", "on", "on"])
    assert.deepStrictEqual(
      rows.map(({ connections }) => connections),
      [1, 16, 64]
    )
    for (const { bare, ratio, whole } of rows) {
      assert.isAbove(bare.perSecond, 0)
      assert.closeTo(ratio, whole.perSecond / bare.perSecond, 0.001)
      assert.isAbove(whole.cpu.gateway, bare.cpu.gateway)
    }
  }, 300_000)
})
