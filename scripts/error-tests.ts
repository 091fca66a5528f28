/**
 * Checks that every error of the union is produced by a test that asserts its code and, beside it, what to do. It reads
 * the tests as text: near a code in quotes there must be a piece of the remediation that the class really gives. The
 * tests of packages/domain do not count, because they make the errors themselves.
 */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { catalogue } from "../packages/domain/src/MosaicError.ts"
import { errorExamples } from "../packages/domain/test/support/errorExamples.ts"
import { root } from "./tasks/root.ts"

interface Literal {
  readonly text: string
  readonly line: number
}

/** A literal with placeholders counts by its fixed pieces, the third line of an error without its label. */
const literalsIn = (source: string): ReadonlyArray<Literal> =>
  [...source.matchAll(/"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`/gs)].flatMap(
    (match) => {
      const line = source.slice(0, match.index).split("\n").length
      const text = match.slice(1).find((group) => group !== undefined) ?? ""
      return text.split(/\$\{[^}]*\}|^ +do: +/).map((piece) => ({ text: piece.trim(), line }))
    }
  )

/** A shorter piece than this could be in any sentence; what follows its beginning may be the test's own value. */
const shortest = 5
const beginning = 9

/** An assertion, or a row of a table of cases, is no longer than this. */
const nearby = 10

const asserts = (literals: ReadonlyArray<Literal>, code: string): boolean => {
  const remediation = errorExamples.find((error) => error.code === code)?.remediation ?? ""
  return literals
    .filter(({ text }) => text === code || text.includes(`(${code})`))
    .some((place) =>
      literals.some(
        ({ line, text }) =>
          Math.abs(line - place.line) <= nearby &&
          text.length >= shortest &&
          remediation.includes(text.slice(0, beginning))
      )
    )
}

/** What is wrong, one line each. */
export const errorTestProblems = (): ReadonlyArray<string> => {
  const tests = globSync("packages/{issuance,gateway,cli}/test/**/*.test.ts", { cwd: root }).map((path) =>
    literalsIn(readFileSync(join(root, path), "utf8"))
  )
  return catalogue
    .filter(({ code }) => !tests.some((literals) => asserts(literals, code)))
    .map(
      ({ code }) =>
        `${code}: no test of packages/issuance, packages/gateway or packages/cli produces it and asserts its remediation`
    )
}
