/** Writes the JSON schema of mosaic.config.json from the schema that reads the file, and holds it against it. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { configSchemaText } from "../packages/gateway/src/ConfigSchema.ts"
import { root } from "./tasks/root.ts"

const path = "packages/gateway/schema/mosaic.config.schema.json"

export const writeConfigSchema = (): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), configSchemaText)
}

const current = (): string => {
  try {
    return readFileSync(join(root, path), "utf8")
  } catch {
    return ""
  }
}

/** What is wrong, one line each. */
export const configSchemaProblems = (): ReadonlyArray<string> =>
  current() === configSchemaText ? [] : [`${path} is not what the reader says: npm run fix writes it`]
