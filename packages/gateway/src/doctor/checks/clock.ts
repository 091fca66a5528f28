/** This machine's clock agrees with the CA's, which tells whole seconds alone, PostgreSQL's and Valkey's. */
import { dateStepSeconds, leewaySeconds } from "@mosaic-federation/issuance/TokenDiagnosis"
import { Effect, Option } from "effect"
import { type Check, type CheckId, failed, remedy, warning } from "../Check.ts"
import { beyond, leeway, measure, serverSkews, type Skew } from "../skew.ts"
import { Subject } from "../Subject.ts"

/** Beyond this somebody has lost its time server. */
const suspicious = 5000

const seconds = (millis: number) => (millis / 1000).toFixed(Math.abs(millis) < 10_000 ? 2 : 0)

const signed = (millis: number) => `${millis < 0 ? "-" : "+"}${seconds(Math.abs(millis))}`

const shown = ({ millis, peer, uncertainty }: Skew) =>
  `${peer} ${signed(millis)}s ±${(uncertainty / 1000).toFixed(2)}s`

const synchronise = "timedatectl set-ntp true && timedatectl timesync-status"

const told = (skews: ReadonlyArray<Skew>) =>
  skews
    .map(
      ({ millis, peer, uncertainty }) =>
        `${seconds(Math.abs(millis))} s (±${seconds(uncertainty)} s) ${millis > 0 ? "ahead of" : "behind"} ${peer}`
    )
    .join(", ")

/** Where everybody disagrees with us, we are the one who is wrong. */
const whoseClock = (off: ReadonlyArray<Skew>, all: ReadonlyArray<Skew>) =>
  off.length === all.length ? "this machine" : `the machine of ${off.map(({ peer }) => peer).join(", ")}`

const peers: ReadonlyArray<CheckId> = ["ca", "postgres", "valkey"]

export const clock: Check = {
  id: "clock",
  name: "clock",
  needs: [],
  needsAny: peers,
  ifSilent: () => remedy("see what this machine's clock says", "timedatectl status"),
  run: (circumstances) =>
    Effect.gen(function* () {
      const subject = yield* Subject
      const askCa = Effect.gen(function* () {
        const client = yield* subject.http
        const { headers } = yield* client.request({ method: "GET", path: "/health" })
        return Date.parse(headers["date"] ?? "")
      })
      const ofCa = (yield* circumstances.passes("ca"))
        ? yield* Effect.option(measure("step-ca", dateStepSeconds * 1000, askCa))
        : Option.none()
      const skews = [...Option.toArray(ofCa), ...(yield* serverSkews(circumstances))].filter(
        ({ millis }) => !Number.isNaN(millis)
      )
      const evidence = {
        leewayMillis: leeway,
        ...Object.fromEntries(
          skews.flatMap(({ millis, peer, uncertainty }) => [
            [`${peer}SkewMillis`, millis],
            [`${peer}UncertaintyMillis`, uncertainty]
          ])
        )
      }
      const wrong = skews.filter(beyond(leeway))
      const odd = skews.filter(beyond(suspicious))
      const detail = `${skews.map(shown).join(", ")} (leeway ${leewaySeconds}s)`
      if (wrong.length > 0) {
        return yield* failed({
          code: "CLOCK_SKEW",
          problem: `this machine's clock is ${told(wrong)}; ${leewaySeconds} s are allowed for`,
          remedy: remedy(`set the clock of ${whoseClock(wrong, skews)} by a time server`, synchronise),
          evidence,
          detail
        })
      }
      if (odd.length > 0) {
        return yield* warning({
          code: "CLOCK_SKEW",
          problem: `this machine's clock is ${told(odd)}; ${leewaySeconds} s are allowed for`,
          remedy: remedy(`set the clock of ${whoseClock(odd, skews)} by a time server`, synchronise),
          evidence,
          detail
        })
      }
      return { detail, evidence }
    })
}
