import { TokenPage } from "@mosaic-federation/domain/api/TokenDocument"
import { Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import { grantFlag, limitFlag, required } from "../../../flags.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"
import { tokenTable } from "../../../TokenView.ts"

export const list = Command.make(
  "list",
  { grant: required(grantFlag), limit: limitFlag },
  Effect.fn("token list")(function* ({ grant, limit }) {
    const page = yield* useOperations(({ tokens }) => tokens.list(grant, limit))
    yield* print({
      document: Schema.encodeSync(TokenPage)(page),
      lines:
        page.tokens.length === 0
          ? [`No token was made for this grant. Make one: mosaic federation token create --grant ${grant}`]
          : tokenTable(page.tokens)
    })
  })
).pipe(
  Command.withDescription("List the enrollment tokens of a grant, without their secret"),
  Command.withExamples([
    {
      command: "mosaic federation token list --grant 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c",
      description: "Which are open, and by whom the others were used"
    }
  ])
)
