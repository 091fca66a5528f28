import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestConsole } from "effect/testing"
import { layer } from "../src/CommandLog.ts"

describe("the log of a command", () => {
  it.effect("is one line on standard error, with what is logged beside the words by name", () =>
    Effect.gen(function* () {
      yield* Effect.logWarning("revocation at the CA failed", {
        serial: "42",
        code: "CA_TIMEOUT",
        why: 'no "answer"',
        tries: 4
      }).pipe(Effect.provide(layer))
      const [line, ...more] = yield* TestConsole.errorLines
      assert.deepStrictEqual(more, [])
      assert.strictEqual(
        String(line).replace(/^time=\d{4}-\d\d-\d\dT[\d:.]+Z /, ""),
        'level=warn message="revocation at the CA failed" serial=42 code=CA_TIMEOUT why="no \\"answer\\"" tries=4'
      )
      assert.deepStrictEqual(yield* TestConsole.logLines, [])
    })
  )
})
