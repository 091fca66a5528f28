/** The bundled command starts with little: what only some commands need is loaded by them. */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const entry = fileURLToPath(new URL("../dist/mosaic.mjs", import.meta.url))

const parts = fileURLToPath(new URL("../dist/mosaic", import.meta.url))

/** `import ... from "./x"` and `import "./x"`, and not `import("./x")`. */
const staticImport = /(?:\bfrom|\bimport)\s*"(\.[^"]+)"/g

const loadedAtStart = (file: string, seen = new Set<string>()): ReadonlySet<string> => {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const [, path = ""] of readFileSync(file, "utf8").matchAll(staticImport))
    loadedAtStart(join(dirname(file), path), seen)
  return seen
}

describe("the bundled command", () => {
  it("reads less than a megabyte before it knows which command it is", () => {
    const files = [...loadedAtStart(entry)]
    assert.isAbove(files.length, 1, "it is split")
    const octets = files.reduce((sum, file) => sum + statSync(file).size, 0)
    assert.isBelow(octets, 1_000_000, files.join("\n"))
    const mentions = (file: string) => readFileSync(file, "utf8").includes("federation_grants")
    assert.deepStrictEqual(files.filter(mentions), [], "the repositories are loaded later")
    const later = readdirSync(parts).map((name) => join(parts, name))
    assert.isNotEmpty(later.filter(mentions))
  })
})
