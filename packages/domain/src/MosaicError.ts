/** The closed union: every way in which Mosaic Federation can fail, and the catalogue that documents them. */
import { Schema } from "effect"
import * as Ca from "./CaErrors.ts"
import * as Certificates from "./CertificateErrors.ts"
import * as Command from "./CommandErrors.ts"
import * as Configuration from "./ConfigurationErrors.ts"
import * as Enrollment from "./EnrollmentErrors.ts"
import * as Gateway from "./GatewayErrors.ts"
import * as Grants from "./GrantErrors.ts"
import * as Peer from "./PeerErrors.ts"
import * as PeerSide from "./PeerSideErrors.ts"
import * as Request from "./RequestErrors.ts"
import * as Rotation from "./RotationErrors.ts"
import * as Server from "./ServerErrors.ts"
import * as Storage from "./StorageErrors.ts"
import * as Transport from "./TransportErrors.ts"

export const MosaicError = Schema.Union([
  Configuration.ConfigMissing,
  Configuration.ConfigConflict,
  Configuration.ConfigFileUnreadable,
  Configuration.ConfigInvalid,
  Configuration.ConfigFileMalformed,
  Configuration.ConfigKeyUnknown,
  Configuration.ConfigValueInvalid,
  Configuration.TierIncomplete,
  Configuration.ProvisionerKeyNotJwk,
  Configuration.ProvisionerKeyPublicOnly,
  Configuration.ProvisionerKeyWrongPassword,
  Configuration.ProvisionerKeyIterationsRefused,
  Configuration.ProvisionerKeyUnsupported,
  Configuration.ProvisionerKeyKidMismatch,
  Configuration.ProvisionerKeySymmetricRefused,
  Configuration.RootCertificateRefused,
  Configuration.RootCertificateExpired,
  Configuration.TokenSigningFailed,
  Request.RequestInvalid,
  Request.CsrMalformed,
  Request.CsrTooLarge,
  Request.CsrSignatureInvalid,
  Request.CsrKeyRefused,
  Request.CsrSubjectMismatch,
  Request.CsrSanMismatch,
  Request.RateLimited,
  Grants.GrantNotFound,
  Grants.GrantAlreadyExists,
  Grants.GrantRevoked,
  Grants.GrantSuspended,
  Grants.GrantExpired,
  Grants.GrantSubjectMismatch,
  Grants.GrantTooShort,
  Grants.LifetimeTooLong,
  Grants.LifetimeTooShort,
  Grants.LifetimeBeyondGrant,
  Grants.GrantEndedInFlight,
  ...Enrollment.EnrollmentError.members,
  ...Peer.PeerError.members,
  ...Server.ServerError.members,
  ...Gateway.GatewayError.members,
  ...PeerSide.PeerSideError.members,
  ...Transport.TransportError.members,
  ...Ca.CaError.members,
  Certificates.CertificateWithheld,
  Certificates.IssuanceAmbiguous,
  Certificates.IssuanceInProgress,
  Certificates.IssuanceOvertaken,
  Certificates.CertificateUnreadable,
  Certificates.CertificateNotConformant,
  ...Storage.StorageError.members,
  Storage.AuditChainBroken,
  Storage.AuditTailMissing,
  Storage.AuditSignatureInvalid,
  Storage.AuditUnprotected,
  Storage.StorageRightMissing,
  Storage.PruneUnderWay,
  ...Rotation.RotationError.members,
  Command.UsageInvalid,
  Command.InputUnreadable,
  Command.OutputExists,
  Command.OutputUnwritable,
  Command.CertificateNotFound,
  Command.DoctorFailed,
  Command.DoctorWarned,
  Command.RecordsDiffer,
  Command.InternalError
])

export type MosaicError = typeof MosaicError.Type

export interface CatalogueEntry {
  readonly code: string
  readonly title: string
  readonly explanation: string
  readonly exitCode: number
  readonly httpStatus: number
  readonly retryable: boolean
}

/** One entry per class, in the order of the union: first what is wrong here, then what is wrong elsewhere. */
export const catalogue: ReadonlyArray<CatalogueEntry> = MosaicError.members.map(
  ({ code, exitCode, explanation, httpStatus, retryable, title }) => ({
    code,
    title,
    explanation,
    exitCode,
    httpStatus,
    retryable
  })
)

export const isMosaicError: (value: unknown) => value is MosaicError = Schema.is(MosaicError)
