import { CreatedTokenDocument } from "@mosaic-federation/domain/api/TokenDocument"
import { OutputUnwritable, UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { Sha256Hex } from "@mosaic-federation/domain/EnrollmentToken"
import { Effect, Option, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { forceFlag, grantFlag, optional, required } from "../../../flags.ts"
import { isGatewayNamed } from "../../../GatewayFlag.ts"
import { print } from "../../../Output.ts"
import { type OutputFile, prepareOutput, reasonOf } from "../../../OutputFile.ts"
import { Period } from "../../../Period.ts"
import { redeemedAt } from "../../../RedeemedAt.ts"
import { useOperations } from "../../../Services.ts"
import { tokenLines } from "../../../TokenView.ts"

const flags = {
  grant: required(grantFlag),
  lifetime: Flag.String("lifetime").pipe(
    Flag.withSchema(Period),
    Flag.withMetavar("<period>"),
    Flag.withDescription("How long the peer may wait: 10m (the default), 24h, 7d at most"),
    optional
  ),
  keySha256: Flag.String("key-sha256").pipe(
    Flag.withSchema(Sha256Hex),
    Flag.withMetavar("<hex>"),
    Flag.withDescription("Only for the key whose SubjectPublicKeyInfo has this SHA-256"),
    optional
  ),
  out: Flag.String("out").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription("Put the token into this file, with mode 0600, and do not print it"),
    optional
  ),
  force: forceFlag,
  url: Flag.String("url").pipe(
    Flag.withMetavar("<url>"),
    Flag.withDescription(
      "Without --gateway: where the peer reaches the gateway; by default MOSAIC_PUBLIC_URL. A gateway knows it itself"
    ),
    optional
  )
}

const prepareTokenFile = (out: Option.Option<string>, force: boolean) =>
  Option.match(out, {
    onNone: () => Effect.succeed(Option.none<OutputFile>()),
    onSome: (path) => Effect.map(prepareOutput(path, { mode: 0o600, force }), Option.some)
  })

const write = (file: OutputFile, { id, token }: typeof CreatedTokenDocument.Type) =>
  Effect.andThen(file.fill(`${token}\n`), file.commit).pipe(
    Effect.mapError(
      (error) =>
        new OutputUnwritable({
          path: file.path,
          reason: reasonOf(error),
          recovery: `the token is lost: take it back (mosaic federation token revoke ${id}) and make another`
        })
    )
  )

export const create = Command.make(
  "create",
  flags,
  Effect.fn("token create")(function* ({ force, grant, keySha256, lifetime, out, url }) {
    if (Option.isSome(url) && (yield* isGatewayNamed)) {
      return yield* new UsageInvalid({
        problem: "--url goes without --gateway and MOSAIC_GATEWAY_URL: a gateway knows its own URL",
        help: "mosaic federation token create --help"
      })
    }
    const file = yield* prepareTokenFile(out, force)
    const made = yield* useOperations(
      ({ tokens }) =>
        tokens.create(grant, {
          ...(Option.isSome(lifetime) ? { lifetime: lifetime.value } : {}),
          ...(Option.isSome(keySha256) ? { keySha256: keySha256.value } : {})
        }),
      { redeemedAt: yield* redeemedAt(url) }
    )
    if (Option.isSome(file)) yield* Effect.uninterruptible(write(file.value, made))
    const path = Option.getOrNull(out)
    yield* print({
      document: {
        ...Schema.encodeSync(CreatedTokenDocument)(made),
        token: path === null ? made.token : null,
        files: { token: path }
      },
      lines: [
        ...tokenLines(made),
        path === null ? `token    ${made.token}` : `token    in ${path} (mode 0600)`,
        "",
        "The token is shown this once, and is good for one certificate. Hand it to the peer, which runs:",
        "mosaic federation enroll --token-file FILE --out DIR"
      ]
    })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Make an enrollment token, by which a peer gets its first certificate under a grant"
  ),
  Command.withExamples([
    {
      command: "mosaic federation token create --grant 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --out peer.token",
      description: "For ten minutes, in a file to hand over"
    },
    {
      command:
        "mosaic federation token create --grant 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --lifetime 24h --json | mosaic federation enroll --out peer",
      description: "Made and redeemed at once, where operator and peer are one"
    }
  ])
)
