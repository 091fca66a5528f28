import { GrantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { grantArgument } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

export const resume = Command.make(
  "resume",
  { id: grantArgument },
  Effect.fn("grant resume")(function* ({ id }) {
    const grant = yield* useOperations(({ grants }) => grants.resume(id))
    yield* print({
      document: Schema.encodeSync(GrantDocument)(grant),
      lines: [`Grant ${grant.id} is ${grant.status}: it issues certificates again.`]
    })
  })
).pipe(
  Command.withDescription("End the suspension of a grant"),
  Command.withExamples([
    {
      command: "mosaic federation grant resume 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c",
      description: "Certificates are issued again"
    }
  ])
)
