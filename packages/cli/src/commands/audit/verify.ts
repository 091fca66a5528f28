import { Effect, Option } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { optional } from "../../flags.ts"
import { print } from "../../Output.ts"
import { useAudit } from "../../Services.ts"
import { readSignedHead } from "../../SignedHeadFile.ts"

const flags = {
  head: Flag.String("head").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription(
      "A signed head that was kept elsewhere: a line of the gateway's log, or what this command printed with --json"
    ),
    optional
  )
}

const load = Effect.promise(() => import("@mosaic-federation/issuance/AuditKey"))

export const verify = Command.make(
  "verify",
  flags,
  Effect.fn("audit verify")(function* ({ head }) {
    const { keyIdOf } = yield* load
    const kept = Option.isSome(head) ? yield* readSignedHead(head.value) : null
    const {
      checked,
      checkpoint,
      head: end,
      heads,
      headsOfOtherKeys,
      unsealed
    } = yield* useAudit((audit) => audit.verify(kept))
    const keyId = keyIdOf(end.publicKey)
    // What such a head covers is gone: the checkpoint's signature alone vouches for it.
    const isPruned = kept !== null && checkpoint !== null && kept.height < checkpoint.height
    yield* print({
      document: {
        height: end.height,
        hash: end.hash,
        checked,
        unsealed,
        checkpoint:
          checkpoint === null
            ? null
            : { height: checkpoint.height, hash: checkpoint.hash, at: checkpoint.at },
        heads: { held: heads, ofOtherKeys: headsOfOtherKeys },
        given: kept === null ? null : { height: kept.height, compared: !isPruned },
        head: { ...end, keyId }
      },
      lines: [
        `The audit record is intact: ${checked} entries${checkpoint === null ? "" : ` behind the checkpoint at height ${checkpoint.height}`}, held against ${heads} signed heads.`,
        ...(checkpoint === null
          ? []
          : [
              `begins    at height ${checkpoint.height + 1}, by a checkpoint that was signed at ${checkpoint.at}`
            ]),
        `height    ${end.height}`,
        `hash      ${end.hash}`,
        `unsealed  ${unsealed}`,
        `key       ${keyId}`,
        ...(isPruned
          ? [
              `The head that was given is of height ${kept.height}, and everything up to height ${checkpoint.height} is pruned: its signature is good, and there is nothing left to hold it against.`
            ]
          : []),
        ...(headsOfOtherKeys === 0
          ? []
          : [
              `${headsOfOtherKeys} heads are of keys that are not trusted here, and were passed over (MOSAIC_AUDIT_TRUST).`
            ])
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Prove that the audit record is what it was: no entry changed, removed, inserted or moved, and no end cut off"
  ),
  Command.withExamples([
    { command: "mosaic audit verify", description: "Against the heads on record" },
    {
      command: "mosaic audit verify --head head.json --json",
      description:
        "Against a head that was kept elsewhere too, for a script: exit code 7 where it does not hold"
    }
  ])
)
