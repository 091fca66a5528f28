/** step-ca answers over TLS that leads to a pinned root and names its host. */
import { CaUnexpectedStatus } from "@mosaic-federation/domain/CaErrors"
import { requestIdOf } from "@mosaic-federation/issuance/CaAnswer"
import { Effect, Result } from "effect"
import { type Check, remedy } from "../Check.ts"
import { caFailure } from "../caFailure.ts"
import { restartCommand } from "../compose.ts"
import { blockedByClock } from "../skew.ts"
import { Subject } from "../Subject.ts"

export const ca: Check = {
  id: "ca",
  name: "step-ca",
  needs: ["root"],
  detail: ({ ca }) => (Result.isSuccess(ca) ? ca.success.url.host : null),
  ifSilent: () =>
    remedy("something takes the connection and says nothing: start step-ca again", restartCommand("step-ca")),
  run: (circumstances) =>
    Effect.gen(function* () {
      const { caSettings, http } = yield* Subject
      const settings = yield* caSettings
      const response = yield* Effect.flatMap(http, (client) =>
        client.request({ method: "GET", path: "/health" })
      ).pipe(
        Effect.tapError(({ _tag }) =>
          _tag === "CaCertificateExpired" ? blockedByClock(circumstances) : Effect.void
        ),
        Effect.mapError((error) => (error._tag === "Blocked" ? error : caFailure(settings)(error)))
      )
      if (response.status !== 200) {
        return yield* caFailure(settings)(
          new CaUnexpectedStatus({ requestId: requestIdOf(response), status: response.status })
        )
      }
      return { evidence: { url: settings.url.origin, trusts: settings.rootPath } }
    })
}
