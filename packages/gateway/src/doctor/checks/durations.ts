/** The CA's shortest, default and longest certificate are those that the gateway counts on. */
import { formatLifetime, parseLifetime } from "@mosaic-federation/domain/Lifetime"
import { Duration, Effect, Option } from "effect"
import { caFailure } from "../caFailure.ts"
import { type Check, failed, remedy, warning } from "../Check.ts"
import { upCommand } from "../compose.ts"
import { Subject } from "../Subject.ts"

/** What step-ca takes where a provisioner has no claim of its own. */
const caDefaults = { min: "5m", standard: "24h", max: "24h" } as const

const claimOf = (
  claims: Readonly<Record<string, unknown>> | null | undefined,
  name: string,
  other: string
) => {
  const text = claims?.[name]
  return Option.getOrElse(parseLifetime(typeof text === "string" ? text : other), () => Duration.zero)
}

export const durations: Check = {
  id: "durations",
  name: "durations",
  needs: ["provisioner"],
  ifSilent: () => remedy("see what the gateway counts on", "mosaic config show"),
  run: () =>
    Effect.gen(function* () {
      const { caSettings, provisioners } = yield* Subject
      const settings = yield* caSettings
      const { longest, shortest, standard } = settings.lifetimes
      const listed = yield* Effect.mapError(provisioners, caFailure(settings))
      const claims = listed.find(({ name }) => name === settings.provisioner)?.claims
      const theirs = {
        shortest: claimOf(claims, "minTLSCertDuration", caDefaults.min),
        standard: claimOf(claims, "defaultTLSCertDuration", caDefaults.standard),
        longest: claimOf(claims, "maxTLSCertDuration", caDefaults.max)
      }
      const [min, usual, max] = [shortest, standard, longest].map(formatLifetime)
      const [caMin, caUsual, caMax] = [theirs.shortest, theirs.standard, theirs.longest].map(formatLifetime)
      const ours = `${min}, ${usual}, ${max}`
      const found = `${caMin}, ${caUsual}, ${caMax}`
      const evidence = { gateway: ours, ca: found }
      if (ours === found) return { detail: ours, evidence }
      const fault = {
        code: "DURATIONS_DIFFER",
        problem: `shortest, default and longest certificate are ${found} at the CA, and ${ours} for the gateway (MOSAIC_CERT_MIN, _DEFAULT, _MAX)`,
        remedy: remedy(
          "give the CA the durations of the gateway, or the gateway those of the CA",
          `MOSAIC_CERT_MIN=${min} MOSAIC_CERT_DEFAULT=${usual} MOSAIC_CERT_MAX=${max} ${upCommand("step-ca")}`
        ),
        evidence
      }
      const isRefused =
        Duration.isLessThan(shortest, theirs.shortest) || Duration.isGreaterThan(longest, theirs.longest)
      return yield* isRefused ? failed(fault) : warning(fault)
    })
}
