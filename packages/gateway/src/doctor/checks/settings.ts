/** Everything that the gateway reads about its CA is set and of the right form; the files that they name come later. */
import { Effect, Result } from "effect"
import { type Check, failed, remedy } from "../Check.ts"
import { Subject } from "../Subject.ts"

const command = "mosaic config show"

export const settings: Check = {
  id: "settings",
  name: "settings",
  needs: [],
  ifSilent: () => remedy("see what is set", command),
  run: () =>
    Effect.gen(function* () {
      const { ca } = yield* Subject
      if (Result.isSuccess(ca)) {
        const { provisioner, url } = ca.success
        return { evidence: { caUrl: url.origin, provisioner } }
      }
      const errors = ca.failure
      const missing = errors.flatMap((error) => (error._tag === "ConfigMissing" ? [error.variable] : []))
      const wrong = errors.filter(({ _tag }) => _tag !== "ConfigMissing")
      return yield* failed({
        code: errors[0]?.code ?? "CONFIG_MISSING",
        problem: [
          ...(missing.length === 0 ? [] : [`not set: ${missing.join(", ")}`]),
          ...wrong.map(({ message }) => message)
        ].join("; "),
        remedy: remedy(
          [
            ...(missing.length === 0 ? [] : ["set each of these, or the same name with _FILE appended"]),
            ...wrong.map(({ remediation }) => remediation),
            "what each is"
          ].join("; "),
          command
        ),
        evidence: { missing: missing.join(", "), wrong: wrong.length }
      })
    })
}
