/**
 * Reads a signed head of the audit chain from a file: a line of the gateway's log, the document of `mosaic audit verify`, or
 * the answer of `GET /v1/audit/head`. Whether its signature is good is left to others.
 */
import { InputUnreadable } from "@mosaic-federation/domain/CommandErrors"
import type { SignedPoint } from "@mosaic-federation/issuance/AuditKey"
import { Effect, Schema } from "effect"
import { inputName, readInput } from "./InputFile.ts"

const SignedHead = Schema.Struct({
  height: Schema.Int,
  hash: Schema.String,
  at: Schema.String,
  publicKey: Schema.String,
  signature: Schema.String
})

const HeadFile = Schema.fromJsonString(Schema.Union([SignedHead, Schema.Struct({ head: SignedHead })]))

const decode = Schema.decodeUnknownEffect(HeadFile)

export const readSignedHead = Effect.fnUntraced(function* (path: string) {
  const bytes = yield* readInput(path)
  const found = yield* decode(new TextDecoder().decode(bytes)).pipe(
    Effect.mapError(
      () =>
        new InputUnreadable({
          path: inputName(path),
          reason: "it is not a JSON object with height, hash, at, publicKey and signature"
        })
    )
  )
  const head: SignedPoint = "head" in found ? found.head : found
  return head
})
