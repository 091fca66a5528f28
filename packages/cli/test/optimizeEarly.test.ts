/** Each flag is known to the V8 of the pinned Node: one that is not would do nothing and complain at every start. */
import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"

const source = new URL("../src/optimizeEarly.ts", import.meta.url).href

const run = (program: string) =>
  spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" })

describe("what V8 is told for a server", () => {
  it("is understood by the pinned Node", () => {
    const { status, stderr, stdout } = run(
      `const { optimizeEarly } = await import("${source}"); optimizeEarly(); console.log("understood")`
    )
    assert.deepStrictEqual({ status, stderr, stdout }, { status: 0, stderr: "", stdout: "understood\n" })
  })

  it("would be complained about if it were not", () => {
    const { stderr } = run(
      `import { setFlagsFromString } from "node:v8"; setFlagsFromString("--no-such-flag")`
    )
    assert.include(stderr, "unrecognized flag --no-such-flag")
  })
})
