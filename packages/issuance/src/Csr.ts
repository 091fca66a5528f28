/** Reads a peer's CSR for the program: each fault that the pure parser finds becomes its error of the closed union. */
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import {
  CsrKeyRefused,
  CsrMalformed,
  CsrSanMismatch,
  CsrSignatureInvalid,
  CsrSubjectMismatch,
  CsrTooLarge
} from "@mosaic-federation/domain/RequestErrors"
import * as CertificateRequest from "@mosaic-federation/x509/CertificateRequest"
import { Result } from "effect"

type CsrError = CsrKeyRefused | CsrMalformed | CsrSignatureInvalid | CsrTooLarge

const toError = (fault: CertificateRequest.CsrFault): CsrError => {
  switch (fault._tag) {
    case "TooLarge":
      return new CsrTooLarge({ size: fault.size, most: fault.most })
    case "Malformed":
      return new CsrMalformed({ problem: fault.problem })
    case "SignatureInvalid":
      return new CsrSignatureInvalid({ problem: fault.problem })
    case "KeyRefused":
      return new CsrKeyRefused({ found: fault.found, allowed: fault.allowed })
  }
}

export const readCsr = (pem: string): Result.Result<CertificateRequest.CertificateRequest, CsrError> =>
  Result.mapError(CertificateRequest.parse(pem), toError)

export const checkRequestedNames = (
  csr: CertificateRequest.CertificateRequest,
  grantId: GrantId
): Result.Result<void, CsrSubjectMismatch | CsrSanMismatch> =>
  Result.mapError(CertificateRequest.checkAgainstGrant(csr, { grantId }), ({ _tag, expected, found }) =>
    _tag === "SubjectContradictsGrant"
      ? new CsrSubjectMismatch({ expected, found })
      : new CsrSanMismatch({ expected, found })
  )
