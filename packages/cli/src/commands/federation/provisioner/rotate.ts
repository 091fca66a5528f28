import { dirname, join, resolve } from "node:path"
import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import type { RotationPlan } from "@mosaic-federation/gateway/ProvisionerRotation"
import type { Phase, RotationState } from "@mosaic-federation/gateway/rotation/RotationState"
import { optionalSetting } from "@mosaic-federation/issuance/Setting"
import { utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Duration, Effect, Option, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { optional } from "../../../flags.ts"
import { Json, print, writeError } from "../../../Output.ts"
import { Period } from "../../../Period.ts"

const help = "mosaic federation provisioner rotate --help"

const flags = {
  caConfig: Flag.String("ca-config").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription("The ca.json of the CA; by default the one of STEPPATH"),
    optional
  ),
  state: Flag.String("state").pipe(
    Flag.withMetavar("<directory>"),
    Flag.withDescription("Where the rotation is on record; by default the directory rotation beside config"),
    optional
  ),
  keyFile: Flag.String("key-file").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription(
      "A further copy of the key file that takes the new key; may be repeated. STEP_CA_PROVISIONER_KEY_JSON_FILE and the CA's own are known"
    ),
    Flag.between(0, 64)
  ),
  reloadCa: Flag.String("reload-ca").pipe(
    Flag.withMetavar("<command>"),
    Flag.withDescription("Has step-ca read its ca.json again: what sends it SIGHUP; run by sh"),
    optional
  ),
  reloadGateway: Flag.String("reload-gateway").pipe(
    Flag.withMetavar("<command>"),
    Flag.withDescription(
      "Has every gateway read its key again: what sends them SIGHUP; true where none runs"
    ),
    optional
  ),
  drain: Flag.String("drain").pipe(
    Flag.withMetavar("<period>"),
    Flag.withDescription(
      "How long to wait for tokens that are on their way; by default as long as one lives, 6m1s. now: not at all"
    ),
    optional
  ),
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Say how far a rotation is, check what it needs, and change nothing")
  )
}

/** What each phase has brought about, once it is over. */
const meanings: Readonly<Record<Phase, string>> = {
  begun: "the new key is made",
  prepared: "the CA knows the new key beside the old one",
  proved: "the CA has signed for the new key",
  switched: "the gateways use the new key",
  drained: "no token of the old key is on its way",
  removed: "the CA refuses the old key",
  returned: "the gateways use the new key under the old name",
  settled: "the CA knows the new key alone, under the old name"
}

const all = Object.keys(meanings) as ReadonlyArray<Phase>

const documentOf = (plan: Omit<RotationPlan, "state">, state: Option.Option<RotationState>) => {
  const done = Option.match(state, { onNone: () => [], onSome: (found) => found.done })
  const phase = done.at(-1)?.phase ?? null
  return {
    provisioner: plan.provisioner,
    oldKid: plan.oldKid,
    newKid: Option.match(state, { onNone: () => null, onSome: ({ newKid }) => newKid }),
    keyFiles: plan.keyFiles,
    phase,
    done: done.map(({ at, phase: one }) => ({ phase: one, at: DateTime.formatIso(at) })),
    pending: all.slice(done.length)
  }
}

const drainOf = Effect.fnUntraced(function* (text: Option.Option<string>) {
  const { standardDrain } = yield* Effect.promise(
    () => import("@mosaic-federation/gateway/rotation/Rotation")
  )
  if (Option.isNone(text)) return standardDrain
  if (text.value === "now") return Duration.zero
  return yield* Effect.mapError(
    Schema.decodeEffect(Period)(text.value),
    () => new UsageInvalid({ problem: `--drain ${text.value} is not a period`, help })
  )
})

const needed = (option: Option.Option<string>, name: string) =>
  Option.match(option, {
    onSome: Effect.succeed,
    onNone: () => Effect.fail(new UsageInvalid({ problem: `${name} is needed`, help }))
  })

const placeOf = Effect.fnUntraced(function* (caConfig: Option.Option<string>, state: Option.Option<string>) {
  const stepPath = yield* optionalSetting("STEPPATH")
  const config = Option.orElse(caConfig, () =>
    Option.map(stepPath, (directory) => join(directory, "config", "ca.json"))
  )
  const path = resolve(yield* needed(config, "--ca-config or STEPPATH"))
  return {
    caConfig: path,
    stateDirectory: Option.match(state, {
      onNone: () => join(dirname(dirname(path)), "rotation"),
      onSome: (directory) => resolve(directory)
    })
  }
})

export const rotate = Command.make(
  "rotate",
  flags,
  Effect.fn("provisioner rotate")(function* (given) {
    const [{ planRotation, rotate }, { IssuanceConfig }] = yield* Effect.promise(() =>
      Promise.all([
        import("@mosaic-federation/gateway/ProvisionerRotation"),
        import("@mosaic-federation/issuance/IssuanceConfig")
      ])
    )
    const place = { ...(yield* placeOf(given.caConfig, given.state)), keyFiles: given.keyFile }
    if (given.dryRun) {
      const plan = yield* Effect.provide(planRotation(place), IssuanceConfig.layer)
      const document = documentOf(plan, plan.state)
      return yield* print({
        document,
        lines: [
          `provisioner  ${plan.provisioner}`,
          `old key      ${plan.oldKid}`,
          `new key      ${document.newKid ?? "not made yet"}`,
          ...plan.keyFiles.map((path) => `key file     ${path}`),
          "",
          ...document.done.map(({ at, phase }) => `done     ${phase.padEnd(9)} ${meanings[phase]} (${at})`),
          ...document.pending.map((phase) => `pending  ${phase.padEnd(9)} ${meanings[phase]}`),
          "",
          "Nothing was changed."
        ]
      })
    }
    const json = yield* Json
    const tell = (state: RotationState) => {
      const last = state.done.at(-1)
      return json || last === undefined
        ? Effect.void
        : writeError(`${utc(DateTime.toDateUtc(last.at))}  ${last.phase.padEnd(9)} ${meanings[last.phase]}\n`)
    }
    const options = {
      ...place,
      reloadCa: yield* needed(given.reloadCa, "--reload-ca"),
      reloadGateway: yield* needed(given.reloadGateway, "--reload-gateway"),
      drain: yield* drainOf(given.drain),
      tell
    }
    const state = yield* rotate(options).pipe(Effect.scoped, Effect.provide(IssuanceConfig.layer))
    yield* print({
      document: documentOf(state, Option.some(state)),
      lines: [
        `Provisioner ${state.provisioner} has a new key, and the CA refuses the old one.`,
        `  old  ${state.oldKid}`,
        `  new  ${state.newKid}`
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Put a new key in the place of the provisioner's, while certificates go on being issued. Interrupted, the same command goes on where it was"
  ),
  Command.withExamples([
    {
      command:
        "mosaic federation provisioner rotate --reload-ca 'systemctl reload step-ca' --reload-gateway 'systemctl reload mosaic-gateway'",
      description: "With the CA's directory in STEPPATH; takes two drains, a little over 12 minutes"
    },
    {
      command: "mosaic federation provisioner rotate --dry-run",
      description: "How far it is, and what is still to be done"
    }
  ])
)
