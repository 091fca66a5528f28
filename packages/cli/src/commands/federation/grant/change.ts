import { GrantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { DateTime, Effect, Option, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { decideExpiry, expiresAtFlag, expiresInFlag } from "../../../Expiry.ts"
import { grantArgument, optional } from "../../../flags.ts"
import { grantLines } from "../../../GrantView.ts"
import { print } from "../../../Output.ts"
import { useOperations } from "../../../Services.ts"

const help = "mosaic federation grant change --help"

const flags = {
  id: grantArgument,
  expiresIn: expiresInFlag.pipe(
    Flag.withDescription("How long it lasts from now on: 30d, 12h, 1d12h"),
    optional
  ),
  expiresAt: expiresAtFlag
}

export const change = Command.make(
  "change",
  flags,
  Effect.fn("grant change")(function* ({ expiresAt, expiresIn, id }) {
    const now = yield* DateTime.now
    const expiry = yield* decideExpiry(expiresIn, expiresAt, now, help)
    if (Option.isNone(expiry)) {
      return yield* new UsageInvalid({ problem: "one of --expires-in and --expires-at is needed", help })
    }
    const grant = yield* useOperations(({ grants }) => grants.changeExpiry(id, expiry.value))
    yield* print({ document: Schema.encodeSync(GrantDocument)(grant), lines: grantLines(grant, now) })
  })
).pipe(
  Command.withDescription(
    "Give a grant another end. An earlier one takes the scope issue of a gateway's key, a later one admin"
  ),
  Command.withExamples([
    {
      command: "mosaic federation grant change 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --expires-in 12h",
      description: "It ends in half a day"
    },
    {
      command:
        "mosaic federation grant change 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --expires-at 2027-01-31T12:00:00Z",
      description: "Or at an instant"
    }
  ])
)
