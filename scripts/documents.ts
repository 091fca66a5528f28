/**
 * Checks that what the documents tell people to open or to run is there (links, npm scripts, test projects, files), and
 * that what they say of errors is so.
 */
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { configSchemaProblems } from "./config-schema.ts"
import { errorsPageProblems } from "./errors-doc.ts"
import { root } from "./tasks/root.ts"

const documents = globSync(["*.md", "docs/**/*.md", "infra/**/*.md", "packages/*/*.md"], {
  cwd: root
}).filter((path) => !path.includes("node_modules"))

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>
}
const workspace = readFileSync(join(root, "vitest.workspace.ts"), "utf8")

/** The first group of each match, with the line that it is on. */
const matches = (text: string, expression: RegExp) =>
  [...text.matchAll(expression)].map((match) => ({
    value: match[1] ?? "",
    line: text.slice(0, match.index).split("\n").length
  }))

const problemsIn = (path: string): ReadonlyArray<string> => {
  const text = readFileSync(join(root, path), "utf8")
  const problem = (line: number, what: string) => `${path}:${line}: ${what}`
  const links = matches(text, /\]\((?!https?:|mailto:|#)([^)#\s]+)/g)
    .filter(({ value }) => !existsSync(join(root, dirname(path), value)))
    .map(({ line, value }) => problem(line, `the link to ${value} leads nowhere`))
  const scripts = matches(text, /npm run (?!--)([\w-]+)/g)
    .filter(({ value }) => manifest.scripts[value] === undefined)
    .map(({ line, value }) => problem(line, `there is no npm run ${value}`))
  const projects = matches(text, /npm test [^`\n]*--project[ =]([\w-]+)/g)
    .filter(({ value }) => !workspace.includes(`project("${value}"`))
    .map(({ line, value }) => problem(line, `there is no test project ${value}`))
  const tests = matches(text, /((?:packages|scripts|infra)\/[\w./-]+\.(?:ts|mjs|sh|tpl|mod|json))\b/g)
    .filter(({ value }) => !value.includes("/dist/") && !existsSync(join(root, value)))
    .map(({ line, value }) => problem(line, `there is no ${value}`))
  return [...links, ...scripts, ...projects, ...tests]
}

/** What is wrong, one line each. */
export const documentProblems = (): ReadonlyArray<string> => [
  ...documents.flatMap(problemsIn),
  ...errorsPageProblems(),
  ...configSchemaProblems()
]
