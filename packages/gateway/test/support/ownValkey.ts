/** A Valkey of the test's own, to be stopped, killed and frozen in the middle, as the gateway reaches it. */
import { FederatedParts } from "@mosaic-federation/testing/FederatedParts"
import { Effect, Redacted, Result } from "effect"
import { parseQueueUrl } from "../../src/QueueUrl.ts"

export const ownValkey = Effect.map(FederatedParts.valkey(), (server) => ({
  ...server,
  /** For the environment of another process. */
  urlText: Redacted.value(server.url),
  address: Result.getOrThrow(parseQueueUrl(server.url))
}))

export type OwnValkey = Effect.Success<typeof ownValkey>
