import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { keyTypes } from "@mosaic-federation/gateway/client/KeyType"
import type { PeerStanding, PeerState, statusDocument } from "@mosaic-federation/gateway/client/PeerStatus"
import { timeLeft, utc } from "@mosaic-federation/x509/CertificateReport"
import { join } from "node:path"
import { DateTime, Effect, Layer, Option, References, Result } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { Answered } from "../../Answered.ts"
import { optional, required } from "../../flags.ts"
import { endsInOrder } from "../../Interruption.ts"
import { print } from "../../Output.ts"
import { readTrust } from "../../Trust.ts"

const help = "mosaic federation agent --help"

const flags = {
  dir: Flag.String("dir").pipe(
    Flag.withMetavar("<directory>"),
    Flag.withDescription("The directory that enroll wrote"),
    required
  ),
  exec: Flag.String("exec").pipe(
    Flag.withMetavar("<command>"),
    Flag.withDescription(
      "What to run after each renewal: a program and its arguments between blanks, without a shell"
    ),
    optional
  ),
  metricsFile: Flag.String("metrics-file").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription(
      "Where the metrics go (Prometheus text, for a textfile collector); by default metrics.prom in the directory"
    ),
    optional
  ),
  keyType: Flag.Literals("key-type", keyTypes).pipe(
    Flag.withDescription("The kind of key that each renewal makes: p256 by default"),
    optional
  ),
  once: Flag.Boolean("once").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Do what is due now and end: for cron and timers")
  ),
  status: Flag.Boolean("status").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Only tell how the certificate stands now")
  )
}

const load = Effect.promise(() =>
  Promise.all([
    import("@mosaic-federation/gateway/client/AgentMemory"),
    import("@mosaic-federation/gateway/client/PeerDirectory"),
    import("@mosaic-federation/gateway/client/PeerStatus"),
    import("@mosaic-federation/gateway/client/RenewalAgent"),
    import("@mosaic-federation/gateway/client/RenewalHook")
  ])
)

/** An agent's log tells of every renewal unless it is told otherwise. */
const logLevel =
  (process.env["MOSAIC_LOG_LEVEL"] ?? "") === ""
    ? Layer.succeed(References.MinimumLogLevel, "Info")
    : Layer.empty

const words: Readonly<Record<PeerState, string>> = {
  valid: "valid",
  due: "valid, its renewal is due",
  failing: "valid, and its renewal fails",
  suspended: "valid, not renewed while the grant is suspended",
  ending: "valid, and the last one: the grant ends",
  over: "REVOKED",
  expired: "EXPIRED"
}

const shown = (iso: string | null, otherwise: string) => (iso === null ? otherwise : utc(new Date(iso)))

const hookWords = ({ hook, hookRunning }: ReturnType<typeof statusDocument>) => {
  if (hookRunning !== null) return `running since ${shown(hookRunning.since, "")}`
  return hook?.error === null ? "done" : hook?.error.message
}

const agentWords = ({ agentPid, agentRuns }: ReturnType<typeof statusDocument>) => {
  if (!agentRuns) return "not running"
  return agentPid === null ? "a process that does not answer: it may be stopped" : `process ${agentPid}`
}

const printStanding = Effect.fnUntraced(function* (standing: PeerStanding) {
  const [, , { grantIsOver, statusDocument, troubleOf }] = yield* load
  const document = statusDocument(standing)
  const now = DateTime.toDateUtc(standing.now)
  const ofHook = hookWords(document)
  yield* print({
    document,
    lines: [
      `Certificate ${document.serial}: ${grantIsOver(standing) ? "THE GRANT IS OVER" : words[document.state]}`,
      `  peer         ${document.peer}, under grant ${document.grantId}`,
      `  gateway      ${document.gateway}`,
      `  valid to     ${shown(document.notAfter, "")}  (${timeLeft(new Date(document.notAfter), now)})`,
      `  next try     ${shown(document.nextTryAt, "none")}`,
      `  renewals     ${document.renewals}, failures in a row ${document.failures}`,
      `  agent        ${agentWords(document)}`,
      ...(ofHook === undefined ? [] : [`  hook         ${ofHook}`])
    ]
  })
  const trouble = troubleOf(standing)
  if (Option.isSome(trouble)) return yield* new Answered({ error: trouble.value })
})

const tellStatus = Effect.fnUntraced(function* (dir: string) {
  const [{ recall }, { directoryHolder, viewDirectory }, , { requireHeld }] = yield* load
  const directory = yield* viewDirectory(dir)
  const held = yield* requireHeld(directory)
  const agent = yield* directoryHolder(dir)
  yield* printStanding({ held, memory: recall(directory, held), agent, now: yield* DateTime.now })
})

const hookOf = Effect.fnUntraced(function* (exec: Option.Option<string>) {
  const [, , , , { parseHook }] = yield* load
  return yield* Effect.transposeOption(
    Option.map(exec, (text) =>
      Effect.fromResult(
        Result.mapError(
          parseHook(text),
          (problem) => new UsageInvalid({ problem: `--exec: ${problem}`, help })
        )
      )
    )
  )
})

export const agent = Command.make(
  "agent",
  flags,
  // Without a span: it would be the parent of every renewal's.
  Effect.fnUntraced(function* ({ dir, exec, keyType, metricsFile, once, status }) {
    if (once && status) {
      return yield* new UsageInvalid({ problem: "--once and --status are both given", help })
    }
    if (status) return yield* tellStatus(dir)
    const hook = yield* hookOf(exec)
    const { oids } = yield* readTrust(Option.none())
    const [, { openDirectory }, , { keepRenewed, lookOnce, requireKey }] = yield* load
    const ServerLog = yield* Effect.promise(() => import("@mosaic-federation/gateway/server/ServerLog"))
    yield* Effect.gen(function* () {
      const directory = yield* openDirectory(dir)
      const options = {
        directory,
        oids,
        hook,
        keyType: Option.getOrElse(keyType, () => "p256" as const),
        metricsPath: metricsFile
      }
      if (once) return yield* printStanding(yield* lookOnce(options))
      const { leaf } = (yield* requireKey(directory)).held
      yield* print({
        document: {
          directory: dir,
          pid: process.pid,
          serial: leaf.serial,
          notAfter: leaf.notAfter.toISOString()
        },
        lines: [`Keeping ${join(dir, "peer.crt")} renewed, which is valid to ${utc(leaf.notAfter)}`]
      })
      endsInOrder()
      return yield* Effect.mapError(keepRenewed(options), (error) => new Answered({ error }))
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(ServerLog.layer, logLevel)))
  })
).pipe(
  Command.withDescription(
    "Keep a certificate renewed, with a new key each time, until the grant ends: exit code 3 says that the grant or the certificate is over"
  ),
  Command.withExamples([
    {
      command: "mosaic federation agent --dir /var/lib/mosaic/peer --exec 'systemctl reload orders'",
      description: "Renews at two thirds of the time between receipt and end, then reloads whoever uses it"
    },
    {
      command: "mosaic federation agent --dir /var/lib/mosaic/peer --once --json",
      description: "Does what is due and ends, for a timer"
    },
    {
      command: "mosaic federation agent --dir /var/lib/mosaic/peer --status",
      description: "How the certificate stands at this moment, also as exit code"
    }
  ])
)
