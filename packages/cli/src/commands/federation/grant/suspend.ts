import { GrantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { grantArgument } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

export const suspend = Command.make(
  "suspend",
  { id: grantArgument },
  Effect.fn("grant suspend")(function* ({ id }) {
    const grant = yield* useOperations(({ grants }) => grants.suspend(id))
    yield* print({
      document: Schema.encodeSync(GrantDocument)(grant),
      lines: [
        `Grant ${grant.id} is suspended: it issues no certificate until it is resumed.`,
        `What is out stays valid. Next: mosaic federation grant resume ${grant.id}, or grant revoke`
      ]
    })
  })
).pipe(
  Command.withDescription("Suspend a grant: nothing is issued under it until it is resumed"),
  Command.withExamples([
    {
      command: "mosaic federation grant suspend 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c",
      description: "What is out stays valid; nothing new is issued"
    }
  ])
)
