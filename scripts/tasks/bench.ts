/**
 * Measures what the gateway costs and prints a table: `npm run bench`, with `--quick` a rough one in a minute, with `--json`
 * one document. Whatever follows `--node` is an option of Node for the gateway: `--node=--cpu-prof`.
 */
import { parseArgs } from "node:util"
import { Effect } from "effect"
import { bench, type BenchResult, type Row } from "../../bench/gateway.ts"
import { CurrentProgress, stderrProgress } from "../../packages/testing/src/Progress.ts"
import { bundle } from "../bundle.ts"

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    node: { type: "string", multiple: true, default: [] }
  }
})

const figures = values.quick
  ? ({
      loads: [
        [1, 20],
        [16, 96],
        [64, 128]
      ],
      rounds: 1,
      warmUp: 100
    } as const)
  : ({
      loads: [
        [1, 300],
        [16, 1500],
        [64, 1500]
      ],
      rounds: 5,
      warmUp: 8000
    } as const)

const two = (value: number) => value.toFixed(2)

const cells = ({ bare, connections, cpuGatewayOverCa, ratio, ratios, whole }: Row) => [
  String(connections),
  bare.perSecond.toFixed(0),
  whole.perSecond.toFixed(0),
  two(ratio),
  `${two(Math.min(...ratios))} to ${two(Math.max(...ratios))}`,
  `${bare.p50.toFixed(1)} / ${bare.p99.toFixed(1)}`,
  `${whole.p50.toFixed(1)} / ${whole.p99.toFixed(1)}`,
  two(whole.cpu.gateway),
  two(whole.cpu.postgres),
  two(whole.cpu.ca),
  two(bare.cpu.ca),
  two(cpuGatewayOverCa)
]

const head = [
  "connections",
  "bare sign/s",
  "issuances/s",
  "ratio",
  "of rounds",
  "bare p50/p99 ms",
  "whole p50/p99 ms",
  "CPU gateway ms",
  "CPU Postgres ms",
  "CPU CA ms",
  "CPU CA, bare sign ms",
  "gateway/CA"
]

/** In Markdown, as docs/performance.md has it. */
const tableOf = ({ rows }: BenchResult) => {
  const lines = [head, ...rows.map(cells)]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  const shown = (line: ReadonlyArray<string>) =>
    `| ${line.map((cell, column) => cell.padStart(widths[column] ?? 0)).join(" | ")} |`
  const rule = `|${widths.map((width) => `${"-".repeat(width + 1)}:`).join("|")}|`
  return [shown(head), rule, ...lines.slice(1).map(shown)].join("\n")
}

const { path } = await bundle()
const progress = stderrProgress()
progress.say(`the gateway is ${path}`)
const result = await Effect.runPromise(
  bench({ ...figures, nodeOptions: values.node }).pipe(Effect.provideService(CurrentProgress, progress))
)
const { cores, model, node } = result.machine
const settings = Object.entries(result.postgres).map(([name, value]) => `${name} ${value}`)
process.stdout.write(
  values.json
    ? `${JSON.stringify(result)}\n`
    : `${cores} × ${model}, Node ${node}, PostgreSQL ${settings.join(", ")}\n\n${tableOf(result)}\n`
)
