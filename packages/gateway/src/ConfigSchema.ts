/** The JSON schema of `mosaic.config.json`, for editors: completion, and what each key means. */
import { Schema } from "effect"
import { ConfigFileContent } from "./ConfigFile.ts"

const configSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  ...Schema.toJsonSchemaDocument(ConfigFileContent).schema,
  additionalProperties: false
}

/** JSON Schema, draft 2020-12, as schema/mosaic.config.schema.json has it. */
export const configSchemaText = `${JSON.stringify(configSchema, null, 2)}\n`
