/**
 * The grant that a request's path names, read in the statement that looks up the API key which the request came with: who may
 * ask for it has it without a statement of its own.
 */
import type { Grant } from "@mosaic-federation/domain/Grant"
import { type GrantId, isGrantId } from "@mosaic-federation/domain/GrantId"
import { Context } from "effect"
import type { HttpApiEndpoint } from "effect/http-api"

/** Null where nobody has looked, or there is none. */
export const GrantOfPath = Context.Reference<Grant | null>("@mosaic-federation/gateway/GrantOfPath", {
  defaultValue: () => null
})

/** Of the endpoints whose handlers take it from here. */
const taken: ReadonlySet<string> = new Set(["/v1/grants/:id/certificates"])

export const grantIdOf = (
  { path }: HttpApiEndpoint.Top,
  { id }: Readonly<Record<string, string | undefined>>
): GrantId | undefined => (taken.has(path) && isGrantId(id) ? id : undefined)
