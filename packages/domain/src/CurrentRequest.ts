/**
 * Who asks, and under which id the request is followed through logs, ledger and audit: of the server's making where
 * there is one, else of the command that runs. It is a reference, so that what records it needs no parameter for it.
 */
import { Context } from "effect"

export interface CurrentRequest {
  /**
   * `cli:USER` of a command, `gateway` of the server's own work, else the kind and id of a credential: `api-key:ID`,
   * `oidc:SUBJECT`, `enrollment-token:ID`, `certificate:SERIAL`.
   */
  readonly requester: string
  /** 1 to 128 visible ASCII characters. */
  readonly requestId: string
}

export const CurrentRequest = Context.Reference<CurrentRequest>("@mosaic-federation/domain/CurrentRequest", {
  defaultValue: () => ({ requester: "cli", requestId: globalThis.crypto.randomUUID() })
})
