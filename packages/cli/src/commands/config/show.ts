import { Effect } from "effect"
import * as Command from "effect/cli/Command"
import { gatewaySettings } from "../../ConfigFlag.ts"
import { errorDocument, errorLines } from "../../ErrorReport.ts"
import { print } from "../../Output.ts"
import { table } from "../../table.ts"

export const show = Command.make(
  "show",
  {},
  Effect.fn("config show")(function* () {
    const { effectiveSettings } = yield* Effect.promise(
      () => import("@mosaic-federation/gateway/EffectiveSettings")
    )
    const gateway = yield* gatewaySettings
    const { file, tier } = gateway
    const { missing, problem, settings } = yield* effectiveSettings(gateway)
    yield* print({
      document: {
        tier,
        file,
        settings,
        missing,
        problem: problem === null ? null : errorDocument(problem)
      },
      lines: [
        `Tier: ${tier}  Config: ${file ?? "none"}`,
        "",
        ...table(
          ["SETTING", "VALUE", "SOURCE"],
          settings.map(({ name, source, value }) => [name, value ?? "-", source ?? "not set"])
        ),
        ...(missing.length === 0
          ? []
          : [
              "",
              "Missing, to issue certificates:",
              ...missing.map(({ expects, name }) => `  ${name}: ${expects}`)
            ]),
        ...(problem === null ? [] : ["", ...errorLines(problem)])
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Show every setting that holds, where it comes from, and what is missing; passwords are masked, keys not shown"
  ),
  Command.withExamples([
    { command: "mosaic config show", description: "What holds in this directory" },
    {
      command: "mosaic config show --config /etc/mosaic/mosaic.config.json --json",
      description: "What would hold with another file, for a program"
    }
  ])
)
