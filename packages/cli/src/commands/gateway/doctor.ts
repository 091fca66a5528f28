import { DoctorFailed, DoctorWarned } from "@mosaic-federation/domain/CommandErrors"
import { type CheckResult, type CheckStatus, DoctorReport } from "@mosaic-federation/domain/DoctorReport"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { Duration, Effect, Option, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { Answered } from "../../Answered.ts"
import { gatewaySettings } from "../../ConfigFlag.ts"
import { errorDocument } from "../../ErrorReport.ts"
import { optional } from "../../flags.ts"
import { endsInOrder } from "../../Interruption.ts"
import { print } from "../../Output.ts"
import { Period } from "../../Period.ts"

const standardTimeout = Duration.seconds(5)
const standardInterval = Duration.seconds(10)

const flags = {
  deep: Flag.Boolean("deep").pipe(
    Flag.withDefault(false),
    Flag.withDescription(
      "Also prove it: issue, verify, revoke, refused, on a throw-away grant; and probe the CA's template again"
    )
  ),
  strict: Flag.Boolean("strict").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Exit code 10 where anything warns")
  ),
  timeout: Flag.String("timeout").pipe(
    Flag.withSchema(Period),
    Flag.withMetavar("<duration>"),
    Flag.withDescription("When the report is there at the latest, whatever does not answer; by default 5s"),
    optional,
    Flag.map(Option.getOrElse(() => standardTimeout))
  ),
  watch: Flag.Boolean("watch").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Look again and again until interrupted; with --json one document a line")
  ),
  interval: Flag.String("interval").pipe(
    Flag.withSchema(Period),
    Flag.withMetavar("<duration>"),
    Flag.withDescription("With --watch: the pause between two looks; by default 10s"),
    optional,
    Flag.map(Option.getOrElse(() => standardInterval))
  )
}

const marks: Readonly<Record<CheckStatus, string>> = { ok: "✓", warning: "!", failed: "✗", skipped: "–" }

/** What a service says of itself may have several. */
const oneLine = (text: string) => text.replaceAll(/\s*\n\s*/g, " ")

const nameOf = (report: DoctorReport, id: string) =>
  report.checks.find((check) => check.id === id)?.name ?? id

const checkLines = (
  report: DoctorReport,
  { detail, finding, latencyMillis, name, needs, status }: CheckResult
): ReadonlyArray<string> => [
  [
    marks[status],
    name,
    ...(detail === null ? [] : [detail]),
    latencyMillis === null ? `skipped: needs ${nameOf(report, needs ?? "")}` : `(${latencyMillis}ms)`
  ].join(" "),
  ...(finding === null
    ? []
    : [`    why: ${oneLine(finding.problem)}`, `    do:  ${oneLine(finding.remediation)}`])
]

const reportLines = (report: DoctorReport): ReadonlyArray<string> => [
  `Tier: ${report.tier}  Config: ${report.file ?? "none"}`,
  ...report.checks.flatMap((check) => checkLines(report, check))
]

const encode = Schema.encodeSync(DoctorReport)

const namesOf = ({ checks }: DoctorReport, wanted: CheckStatus) =>
  checks.filter(({ status }) => status === wanted).map(({ name }) => name)

/** How the command ends, if not well. */
const errorOf = (report: DoctorReport, strict: boolean): MosaicError | undefined => {
  if (report.status === "failed") return new DoctorFailed({ checks: namesOf(report, "failed") })
  return report.status === "warning" && strict
    ? new DoctorWarned({ checks: namesOf(report, "warning") })
    : undefined
}

export const doctor = Command.make(
  "doctor",
  flags,
  Effect.fn("gateway doctor")(function* ({ deep, interval, strict, timeout, watch }) {
    const [{ GatewayConfig }, { examine, misconfiguration }] = yield* Effect.promise(() =>
      Promise.all([
        import("@mosaic-federation/gateway/GatewayConfig"),
        import("@mosaic-federation/gateway/doctor/Doctor")
      ])
    )
    const settings = GatewayConfig.layerOf(yield* gatewaySettings)
    const look = Effect.fnUntraced(function* (within: Duration.Duration) {
      const report = yield* Effect.provide(examine({ deep, timeout: within }), settings)
      const error = (yield* misconfiguration(report)) ?? errorOf(report, strict)
      yield* print({
        document: { ...encode(report), ...(error === undefined ? {} : { error: errorDocument(error) }) },
        lines: [...reportLines(report), ...(watch || error !== undefined ? [""] : [])]
      })
      return error
    })
    if (!watch) {
      // The process has been running for a while: that is part of the time, too.
      const error = yield* look(Duration.subtract(timeout, Duration.seconds(process.uptime())))
      return error === undefined ? undefined : yield* new Answered({ error })
    }
    endsInOrder()
    return yield* Effect.forever(Effect.andThen(look(timeout), Effect.sleep(interval)))
  })
).pipe(
  Command.withDescription(
    "Prove whether grants can be issued, verified and revoked right now, and say what to do where not"
  ),
  Command.withExamples([
    { command: "mosaic gateway doctor", description: "A line a check; exit code 11 where one fails" },
    {
      command: "mosaic gateway doctor --deep --strict",
      description: "Before a release: the whole loop on a throw-away grant, and no warnings either"
    },
    {
      command: "mosaic gateway doctor --watch --interval 5s",
      description: "While something is being repaired"
    }
  ])
)
