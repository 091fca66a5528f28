/**
 * What whoever asks a gateway is told to do. Of the gateway's own parts (its database, its CA, its keys) it has nothing to
 * look at: the remedies of those errors are for the gateway's operator, who finds the cause by the request's id.
 */
import { CaError, CaRateLimited } from "../CaErrors.ts"
import { CertificateWithheld } from "../CertificateErrors.ts"
import { InternalError } from "../CommandErrors.ts"
import { TokenSigningFailed } from "../ConfigurationErrors.ts"
import type { MosaicError } from "../MosaicError.ts"
import { StorageError } from "../StorageErrors.ts"
import { TransportError } from "../TransportErrors.ts"

const ofGateway: ReadonlySet<string> = new Set(
  [
    ...StorageError.members,
    ...TransportError.members,
    ...CaError.members.filter((error) => error !== CaRateLimited),
    CertificateWithheld,
    TokenSigningFailed,
    InternalError
  ].map(({ identifier }) => identifier)
)

export const isOfGateway = ({ _tag }: MosaicError): boolean => ofGateway.has(_tag)

export const callersRemedy = (error: MosaicError, requestId: string): string => {
  if (!isOfGateway(error)) return error.remediation
  const tell = `tell the gateway's operator the request id ${requestId}, under which its log has the cause`
  return error.retryable ? `${tell}; try again` : tell
}
