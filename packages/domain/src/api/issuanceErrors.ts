/** Every way in which an issuance can fail, wherever it is asked for. */
import { CaError } from "../CaErrors.ts"
import {
  CertificateWithheld,
  IssuanceAmbiguous,
  IssuanceInProgress,
  IssuanceOvertaken
} from "../CertificateErrors.ts"
import { TokenSigningFailed } from "../ConfigurationErrors.ts"
import {
  GrantEndedInFlight,
  GrantExpired,
  GrantNotFound,
  GrantRevoked,
  GrantSubjectMismatch,
  GrantSuspended,
  GrantTooShort,
  LifetimeBeyondGrant,
  LifetimeTooLong,
  LifetimeTooShort
} from "../GrantErrors.ts"
import {
  CsrKeyRefused,
  CsrMalformed,
  CsrSanMismatch,
  CsrSignatureInvalid,
  CsrSubjectMismatch,
  CsrTooLarge,
  RequestInvalid
} from "../RequestErrors.ts"
import { StorageError } from "../StorageErrors.ts"
import { TransportError } from "../TransportErrors.ts"

export const issuanceErrors = [
  RequestInvalid,
  CsrMalformed,
  CsrTooLarge,
  CsrSignatureInvalid,
  CsrKeyRefused,
  CsrSubjectMismatch,
  CsrSanMismatch,
  GrantNotFound,
  GrantRevoked,
  GrantSuspended,
  GrantExpired,
  GrantSubjectMismatch,
  GrantTooShort,
  LifetimeTooLong,
  LifetimeTooShort,
  LifetimeBeyondGrant,
  GrantEndedInFlight,
  TokenSigningFailed,
  ...TransportError.members,
  ...CaError.members,
  CertificateWithheld,
  IssuanceAmbiguous,
  IssuanceInProgress,
  IssuanceOvertaken,
  ...StorageError.members
] as const
