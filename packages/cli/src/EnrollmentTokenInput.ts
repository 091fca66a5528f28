/** The enrollment token: from a file, a setting or standard input, and never from the command line. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { Effect, Option, Redacted, Schema } from "effect"
import { readInput } from "./InputFile.ts"

const Document = Schema.fromJsonString(Schema.Struct({ token: Schema.String }))

const decodeDocument = Schema.decodeUnknownOption(Document)

/** The token as it is, or in the document of `token create --json`. */
const redacted = (text: string) => {
  const token = Option.match(decodeDocument(text), { onNone: () => text, onSome: ({ token }) => token })
  return Redacted.make(token.trim(), { label: "enrollment token" })
}

/** `--token-file`, else `MOSAIC_ENROLL_TOKEN` (or `_FILE`), else standard input where that is no terminal. */
export const readEnrollmentToken = Effect.fnUntraced(function* (tokenFile: Option.Option<string>) {
  if (Option.isNone(tokenFile)) {
    const { optionalSetting } = yield* Effect.promise(() => import("@mosaic-federation/issuance/Setting"))
    const setting = yield* optionalSetting("MOSAIC_ENROLL_TOKEN")
    if (Option.isSome(setting)) return redacted(setting.value)
    if (process.stdin.isTTY) {
      return yield* new UsageInvalid({
        problem: "there is no token: give --token-file FILE or MOSAIC_ENROLL_TOKEN, or pipe it in",
        help: "mosaic federation enroll --help"
      })
    }
  }
  const bytes = yield* readInput(Option.getOrElse(tokenFile, () => "-"))
  return redacted(Buffer.from(bytes).toString("utf8"))
}, Effect.provide(NodeFileSystem.layer))
