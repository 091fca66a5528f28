/**
 * What step-ca tells anybody who asks about its provisioners: their names, public keys and claims. It is also where it
 * shows what it should not, a symmetric key or an encrypted private one. What follows from either is left to others.
 */
import { CaUnexpectedStatus } from "@mosaic-federation/domain/CaErrors"
import { CaResponseShape } from "@mosaic-federation/domain/TransportErrors"
import { Effect, Option, Schema } from "effect"
import { requestIdOf } from "./CaAnswer.ts"
import type { PinnedHttpClient } from "./PinnedHttpClient.ts"

const ProvisionerEntry = Schema.Struct({
  type: Schema.String,
  name: Schema.String,
  key: Schema.optionalKey(
    Schema.StructWithRest(Schema.Struct({ kid: Schema.optionalKey(Schema.String) }), [
      Schema.Record(Schema.String, Schema.Unknown)
    ])
  ),
  encryptedKey: Schema.optionalKey(Schema.String),
  claims: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))),
  options: Schema.optionalKey(Schema.Unknown)
})

export type Provisioner = typeof ProvisionerEntry.Type

const Page = Schema.Struct({
  provisioners: Schema.Array(ProvisionerEntry),
  nextCursor: Schema.optionalKey(Schema.String)
})

const decodePage = Schema.decodeUnknownOption(Page)

const mostPages = 20

/** All of them, of every type, page by page. */
export const listProvisioners = Effect.fn("Provisioners.list")(function* (
  http: PinnedHttpClient["Service"],
  { origin }: URL
) {
  const found: Array<Provisioner> = []
  let cursor = ""
  for (let page = 0; page < mostPages; page++) {
    const path = `/provisioners?limit=100${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`
    const response = yield* http.request({ method: "GET", path })
    if (response.status !== 200) {
      return yield* new CaUnexpectedStatus({ requestId: requestIdOf(response), status: response.status })
    }
    const { nextCursor = "", provisioners } = yield* Option.match(decodePage(response.body), {
      onNone: () => Effect.fail(new CaResponseShape({ origin, problem: "/provisioners is no list" })),
      onSome: Effect.succeed
    })
    found.push(...provisioners)
    cursor = nextCursor
    if (cursor === "") break
  }
  return found
})
