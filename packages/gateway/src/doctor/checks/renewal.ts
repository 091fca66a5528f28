/** The CA renews nothing by itself: with `/renew`, a certificate would outlive the revocation of its grant. */
import { Effect } from "effect"
import { caFailure } from "../caFailure.ts"
import { type Check, failed, remedy } from "../Check.ts"
import { restartCommand } from "../compose.ts"
import { Subject } from "../Subject.ts"

const repair = remedy(
  "start the CA again, whose boot (infra/step-ca/init.sh) sets the claim",
  restartCommand("step-ca")
)

export const renewal: Check = {
  id: "renewal",
  name: "disableRenewal",
  needs: ["provisioner"],
  ifSilent: () => repair,
  run: () =>
    Effect.gen(function* () {
      const { caSettings, provisioners } = yield* Subject
      const settings = yield* caSettings
      const listed = yield* Effect.mapError(provisioners, caFailure(settings))
      // Several may share a name, for a rotation of the key: each can sign.
      const renewing = listed.filter(
        ({ claims, name }) => name === settings.provisioner && claims?.["disableRenewal"] !== true
      )
      const evidence = { provisioner: settings.provisioner, disableRenewal: renewing.length === 0 }
      if (renewing.length === 0) return { evidence }
      return yield* failed({
        code: "RENEWAL_NOT_DISABLED",
        problem: `the provisioner ${settings.provisioner} has no claim disableRenewal: the CA renews a certificate without asking whether its grant is revoked`,
        remedy: repair,
        evidence
      })
    })
}
