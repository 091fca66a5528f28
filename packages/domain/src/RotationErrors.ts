/** What stops the rotation of a provisioner's key. Nothing is undone by any of them: the same command goes on from there. */
import { Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

export class CaConfigUnusable extends ErrorClass<CaConfigUnusable>()(
  "CaConfigUnusable",
  { path: Schema.String, problem: Schema.String },
  {
    code: "CA_CONFIG_UNUSABLE",
    title: "The CA's configuration is not one that can be changed here",
    explanation:
      "The file is not the ca.json of the CA that STEP_CA_URL names, or somebody else changes its provisioners. It was left as it is.",
    httpStatus: 500,
    exitCode: ExitCode.configuration,
    retryable: false,
    message: ({ path, problem }) => `${path} ${problem}`,
    remediation: () => `name the ca.json of this CA with --ca-config, or set STEPPATH to the CA's directory`
  }
) {}

export class RotationStateUnusable extends ErrorClass<RotationStateUnusable>()(
  "RotationStateUnusable",
  { directory: Schema.String, problem: Schema.String },
  {
    code: "ROTATION_STATE_UNUSABLE",
    title: "What is on record of the rotation does not fit",
    explanation:
      "The directory with the rotation's state is of another provisioner, is damaged, or is not the one that the rotation was begun with.",
    httpStatus: 500,
    exitCode: ExitCode.configuration,
    retryable: false,
    message: ({ directory, problem }) => `${directory}: ${problem}`,
    remediation: () =>
      `name the directory of the rotation that was begun with --state; where it is lost: docs/federation/rotation.md#when-the-state-is-lost`
  }
) {}

export class RotationUnderWay extends ErrorClass<RotationUnderWay>()(
  "RotationUnderWay",
  { directory: Schema.String, pid: Schema.Int },
  {
    code: "ROTATION_UNDER_WAY",
    title: "Another process is at this rotation",
    explanation: "One process at a time rotates a key. Nothing was changed by this one.",
    httpStatus: 409,
    exitCode: ExitCode.refused,
    retryable: true,
    message: ({ directory, pid }) => `process ${pid} has ${directory}/lock`,
    remediation: ({ pid }) => `wait for it, or look at it: ps -p ${pid}`
  }
) {}

export class RotationReloadFailed extends ErrorClass<RotationReloadFailed>()(
  "RotationReloadFailed",
  { who: Schema.Literals(["step-ca", "gateway"]), phase: Schema.String, reason: Schema.String },
  {
    code: "ROTATION_RELOAD_FAILED",
    title: "The rotation waits for a reload that did not come about",
    explanation:
      "The command of --reload-ca or --reload-gateway failed, or the CA does not show what its ca.json now says. Certificates go on being issued meanwhile.",
    httpStatus: 503,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ phase, reason, who }) => `${who}, after ${phase}: ${reason}`,
    remediation: ({ who }) =>
      who === "step-ca"
        ? `see step-ca's log, have it reload (kill -HUP PID), then run the same command again`
        : `have the gateways reload (kill -HUP PID), then run the same command again`
  }
) {}

export const RotationError = Schema.Union([
  CaConfigUnusable,
  RotationStateUnusable,
  RotationUnderWay,
  RotationReloadFailed
])
