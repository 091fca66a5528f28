/** Closes a test run with one plain line for machines: `N passed, N failed`, and `, N skipped` where there are any. */
import { writeSync } from "node:fs"
import type { Reporter, SerializedError, TestModule } from "vitest/node"

const stdout = 1

export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>) {
    let passed = 0
    let skipped = 0
    // An error outside of any test fails the run as well: a module that cannot be imported, a rejection nobody awaited.
    let failed = unhandled.length
    for (const module of modules) {
      failed += module.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === "passed") passed += 1
        else if (state === "failed") failed += 1
        else skipped += 1
      }
    }
    const tail = skipped > 0 ? `, ${skipped} skipped` : ""
    process.once("exit", () => writeSync(stdout, `${passed} passed, ${failed} failed${tail}\n`))
  }
}
