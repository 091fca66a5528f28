import { TokenDocument } from "@mosaic-federation/domain/api/TokenDocument"
import { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import { Effect, Schema } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

const flags = {
  id: Argument.String("token").pipe(
    Argument.withSchema(EnrollmentTokenId),
    Argument.withDescription("The token's id, as token list shows it; not the token itself")
  )
}

const outcome = ({ id, status, use }: TokenDocument): string =>
  use === null
    ? `Token ${id} is ${status}: it brings no certificate any more.`
    : `Token ${id} was used before. What there is to revoke is its certificate: mosaic federation cert revoke ${use.serial}`

export const revoke = Command.make(
  "revoke",
  flags,
  Effect.fn("token revoke")(function* ({ id }) {
    const token = yield* useOperations(({ tokens }) => tokens.revoke(id))
    yield* print({ document: Schema.encodeSync(TokenDocument)(token), lines: [outcome(token)] })
  })
).pipe(
  Command.withDescription("Take an enrollment token back before it is used"),
  Command.withExamples([
    {
      command: "mosaic federation token revoke 3c1d7e52-90ab-4f6e-8d21-7b6a5c4d3e2f",
      description: "By its id"
    }
  ])
)
