import { Effect } from "effect"
import * as Command from "effect/cli/Command"
import { writeOut } from "../../Output.ts"

export const schema = Command.make(
  "schema",
  {},
  Effect.fn("config schema")(function* () {
    const { configSchemaText } = yield* Effect.promise(
      () => import("@mosaic-federation/gateway/ConfigSchema")
    )
    yield* writeOut(configSchemaText)
  })
).pipe(
  Command.withDescription(
    "Print the JSON schema of mosaic.config.json, from which editors complete its keys"
  ),
  Command.withExamples([
    {
      command: "mosaic config schema > mosaic.config.schema.json",
      description: 'Then begin the file with {"$schema": "./mosaic.config.schema.json", ...}'
    }
  ])
)
