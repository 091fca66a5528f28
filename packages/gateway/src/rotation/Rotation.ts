/** One rotation of the provisioner's key: what it is given, and how it can fail. */
import type { CertificateWithheld } from "@mosaic-federation/domain/CertificateErrors"
import type { InputUnreadable, OutputUnwritable, UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import type {
  CaConfigUnusable,
  RotationReloadFailed,
  RotationStateUnusable,
  RotationUnderWay
} from "@mosaic-federation/domain/RotationErrors"
import type { IssuanceConfigError, IssuanceSettings } from "@mosaic-federation/issuance/IssuanceConfig"
import type { SignError } from "@mosaic-federation/issuance/StepCa"
import { leewaySeconds } from "@mosaic-federation/issuance/TokenDiagnosis"
import { tokenLifetime } from "@mosaic-federation/issuance/TokenSigner"
import { Duration, type Effect } from "effect"
import type { RotationKeys } from "./RotationKeys.ts"
import type { RotationState } from "./RotationState.ts"

export interface RotationPlace {
  /** Of the CA; its provisioners are changed. */
  readonly caConfig: string
  /** Where the rotation's record and, while it lasts, both keys are kept. */
  readonly stateDirectory: string
}

export interface RotationOptions extends RotationPlace {
  /** Further copies of the key file, beside the one of the setting and the CA's own. */
  readonly keyFiles: ReadonlyArray<string>
  /** Shell commands that have step-ca and the gateways read their files again. */
  readonly reloadCa: string
  readonly reloadGateway: string
  /** How long to wait for tokens of a key that is no longer used. */
  readonly drain: Duration.Duration
  /** Called with each phase that is over. */
  readonly tell: (state: RotationState) => Effect.Effect<void>
}

export type ProvisionerRotationError =
  | IssuanceConfigError
  | UsageInvalid
  | InputUnreadable
  | CaConfigUnusable
  | RotationStateUnusable
  | RotationUnderWay
  | RotationReloadFailed
  | OutputUnwritable
  | CertificateWithheld
  | SignError

/** A token that was made at the last moment before a switch is dead after this, by the CA's clock and its leeway. */
export const standardDrain = Duration.seconds(tokenLifetime + leewaySeconds + 1)

/** The name under which the new key begins. */
export const nameBeside = (provisioner: string) => `${provisioner}-next`

export interface Rotation extends RotationKeys {
  readonly settings: IssuanceSettings
  readonly options: RotationOptions
  readonly state: RotationState
}
