/** What to run where the CA does not answer as it should: by the cause that the pinned connection has proved. */
import type { CaUnexpectedStatus } from "@mosaic-federation/domain/CaErrors"
import type {
  RootCertificateExpired,
  RootCertificateRefused
} from "@mosaic-federation/domain/ConfigurationErrors"
import type { TransportError } from "@mosaic-federation/domain/TransportErrors"
import type { SettingError } from "@mosaic-federation/issuance/Setting"
import { failedBy } from "./Check.ts"
import { restartCommand, upCommand } from "./compose.ts"
import type { CaSettings } from "./Subject.ts"

type CaFailure =
  | TransportError
  | CaUnexpectedStatus
  | SettingError
  | RootCertificateExpired
  | RootCertificateRefused

const commandFor = (error: CaFailure, { rootPath, url }: CaSettings): string => {
  switch (error._tag) {
    case "CaIssuerUnknown":
      return `step certificate fingerprint ${rootPath}`
    case "CaNameNotResolved":
      return `getent hosts ${url.hostname}`
    case "CaCertificateExpired":
      return `date -u && ${restartCommand("step-ca")}`
    case "CaConnectionRefused":
    case "CaUnreachable":
      return upCommand("step-ca")
    default:
      return `curl --cacert ${rootPath} ${url.origin}/health`
  }
}

export const caFailure = (settings: CaSettings) => (error: CaFailure) =>
  failedBy(error, commandFor(error, settings))
