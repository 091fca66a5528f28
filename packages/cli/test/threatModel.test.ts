/** docs/threat-model.md: every test that it names for a claim is there, under that name, and every section that it links. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { sectionsOf } from "./support/sectionsOf.ts"

const docs = fileURLToPath(new URL("../../../docs", import.meta.url))
const page = readFileSync(join(docs, "threat-model.md"), "utf8")

it("docs/threat-model.md names tests that are there", () => {
  const named = [...page.matchAll(/\[([^\]]+)\]\((\.\.\/packages\/[^)]+\.test\.ts)\)/g)]
  assert.isAtLeast(named.length, 30)
  for (const [, title = "", path = ""] of named) {
    const text = readFileSync(join(docs, path), "utf8")
    assert.include(text, `"${title}`, path)
  }
})

it("docs/threat-model.md names a holder for every claim", () => {
  const tables = page.slice(page.indexOf("## What is done"), page.indexOf("## What is not done"))
  for (const [row] of tables.matchAll(/^\| (?!claim|---).*$/gm)) assert.match(row, /\| \[.*\.test\.ts\) \|$/)
})

it("docs/threat-model.md links pages and sections that are there", () => {
  for (const [, path = "", section] of page.matchAll(/\]\((?!\.\.\/packages)([^)#]*)(?:#([^)]+))?\)/g)) {
    const target = join(docs, path === "" ? "threat-model.md" : path)
    assert.isTrue(existsSync(target), target)
    if (section === undefined) continue
    assert.include(sectionsOf(target), section, target)
  }
})
