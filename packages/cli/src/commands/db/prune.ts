import { StorageSchemaOlder } from "@mosaic-federation/domain/StorageErrors"
import { Clock, DateTime, Effect, Layer, Option, Record } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { gatewaySettings } from "../../ConfigFlag.ts"
import { optional } from "../../flags.ts"
import { hasDatabase } from "../../KnownHere.ts"
import { print, writeError } from "../../Output.ts"
import { Period } from "../../Period.ts"
import { useDatabase } from "../../Services.ts"
import { table } from "../../table.ts"

const keepFlag = (what: string, description: string) =>
  Flag.String(`keep-${what}`).pipe(
    Flag.withSchema(Period),
    Flag.withMetavar("<period>"),
    Flag.withDescription(description),
    optional
  )

const flags = {
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Tell what would be deleted, and change nothing")
  ),
  audit: keepFlag(
    "audit",
    "How long audit records stay, where they are sealed; by default 400d. A signed checkpoint takes their place"
  ),
  certificates: keepFlag(
    "certificates",
    "How long certificates stay on record after their end; by default 400d"
  ),
  grants: keepFlag(
    "grants",
    "How long grants stay after their end; by default 400d, and while one of their certificates does"
  ),
  tokens: keepFlag("tokens", "How long enrollment tokens stay after their end and use; by default 400d"),
  tasks: keepFlag("tasks", "How long tasks stay after they were done; by default 30d")
}

/** At most one line in this time, in milliseconds. */
const tellEvery = 2000

export const prune = Command.make(
  "prune",
  flags,
  Effect.fn("db prune")(function* ({ dryRun, ...kept }) {
    const [{ AuditKey }, { AuditRepo }, { latestMigration }, { prune, standardKeep }] = yield* Effect.promise(
      () =>
        Promise.all([
          import("@mosaic-federation/issuance/AuditKey"),
          import("@mosaic-federation/issuance/AuditRepo"),
          import("@mosaic-federation/issuance/Migrations"),
          import("@mosaic-federation/issuance/Prune")
        ])
    )
    // Pruning must not make a database where there is none.
    const settings = yield* gatewaySettings
    if (!(yield* hasDatabase(settings))) {
      return yield* new StorageSchemaOlder({ found: 0, known: latestMigration })
    }
    const keep = Record.map(standardKeep, (standard, name) => Option.getOrElse(kept[name], () => standard))
    let told = yield* Clock.currentTimeMillis
    const progress = Effect.fnUntraced(function* (doing: string, name: string, count: number, of: number) {
      const now = yield* Clock.currentTimeMillis
      if (now - told < tellEvery) return
      told = now
      yield* writeError(`${name}: ${count} of ${of} ${doing}\n`)
    })
    const work = prune(keep, dryRun, progress).pipe(
      Effect.provide(Layer.merge(AuditRepo.layerNoDeps, AuditKey.layer))
    )
    const { checkpoint, tables, unsealed } = yield* useDatabase(work, settings)
    const rows = tables.reduce((sum, one) => sum + one.rows, 0)
    const since = (at: DateTime.Utc | null) => (at === null ? null : DateTime.formatIso(at))
    yield* print({
      document: {
        dryRun,
        rows,
        tables: tables.map((one) => ({
          ...one,
          before: DateTime.formatIso(one.before),
          oldestKept: since(one.oldestKept)
        })),
        checkpoint:
          checkpoint === null
            ? null
            : { height: checkpoint.height, hash: checkpoint.hash, at: checkpoint.at },
        unsealed
      },
      lines: [
        ...table(
          ["TABLE", "ENDED BEFORE", dryRun ? "WOULD GO" : "DELETED", "KEPT", "OLDEST KEPT"],
          tables.map((one) => [
            one.table,
            DateTime.formatIso(one.before),
            String(one.rows),
            String(one.kept),
            since(one.oldestKept) ?? "-"
          ])
        ),
        "",
        dryRun ? `${rows} rows would be deleted; nothing was changed.` : `${rows} rows were deleted.`,
        ...(checkpoint === null
          ? []
          : [
              `The audit record ${checkpoint.at === null ? "would begin" : "begins"} behind height ${checkpoint.height}.`
            ]),
        ...(unsealed === 0
          ? []
          : [`${unsealed} audit records are not sealed yet, and none of them goes (mosaic audit verify).`])
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Delete what ended long ago, in short transactions, while gateways serve: never a live row, nor one that a row which stays needs, nor an audit record that is not sealed. As the owner (MOSAIC_DATABASE_OWNER_URL), with the gateways' audit key (docs/federation/audit.md)"
  ),
  Command.withExamples([
    {
      command: "mosaic db prune --dry-run",
      description: "What would go and what would stay, table by table; nothing is changed"
    },
    { command: "mosaic db prune", description: "All that ended more than 400 days ago" },
    {
      command: "mosaic db prune --keep-audit 800d --keep-certificates 90d --json",
      description: "With periods of one's own, for a timer"
    }
  ])
)
