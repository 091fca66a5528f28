/** What is known of one request so far, for its log line, its metrics and its spans: filled in on the way. */
import { Context } from "effect"

export interface RequestRecord {
  readonly requestId: string
  /** The address of the client, beyond trusted proxies. */
  readonly from: string
  /** The path of the endpoint as the contract has it; null until one is found. */
  route: string | null
  /** Null until somebody has said and proved who they are. */
  requester: string | null
  /** The code of the error that is answered. */
  errorCode: string | null
}

/** Outside of the server, as in an embedding service, it is filled in for nobody. */
export const CurrentRecord = Context.Reference<RequestRecord>("@mosaic-federation/gateway/CurrentRecord", {
  defaultValue: () => ({ requestId: "none", from: "unknown", route: null, requester: null, errorCode: null })
})
