/** The file of pinned roots holds self-signed CA certificates that are valid now, and for a month to come. */
import { Effect } from "effect"
import { type Check, failedBy, remedy, warning } from "../Check.ts"
import { expiryOf } from "../expiry.ts"
import { blockedByClock } from "../skew.ts"
import { Subject } from "../Subject.ts"

export const root: Check = {
  id: "root",
  name: "root certificate",
  needs: ["settings"],
  ifSilent: () => remedy("see whether the file can be read", 'ls -l "$STEP_CA_ROOT_CERT_PATH"'),
  // It may have to wait until it is known whether the clock is to blame.
  isOwnWork: () => true,
  run: (circumstances) =>
    Effect.gen(function* () {
      const { caSettings, roots } = yield* Subject
      const { rootPath, url } = yield* caSettings
      const inspect = `step certificate inspect --short --bundle ${rootPath}`
      const refused = (error: Effect.Error<typeof roots>) => {
        const isOfContent = error._tag === "RootCertificateRefused" || error._tag === "RootCertificateExpired"
        const failure = Effect.fail(failedBy(error, isOfContent ? inspect : `ls -l ${rootPath}`))
        return isOfContent ? Effect.andThen(blockedByClock(circumstances), failure) : failure
      }
      const pinned = yield* roots.pipe(Effect.catch(refused))
      const first = yield* expiryOf(pinned)
      const evidence = {
        path: rootPath,
        roots: pinned.length,
        subject: first?.subject ?? null,
        notAfter: first?.notAfter ?? null,
        fingerprintSha256: pinned.map(({ fingerprintSha256 }) => fingerprintSha256).join(", ")
      }
      if (first?.isNear === true) {
        return yield* warning({
          code: "ROOT_CERTIFICATE_EXPIRES",
          problem: `${first.subject} ends at ${first.notAfter}: ${first.left}`,
          remedy: remedy(
            `add the CA's next root to ${rootPath}, then renew the CA's own; to fetch what the CA has`,
            `step ca roots --ca-url ${url.origin} --root ${rootPath}`
          ),
          evidence
        })
      }
      return { ...(first === undefined ? {} : { detail: first.left }), evidence }
    })
}
