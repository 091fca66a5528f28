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

export type CsrError =
  | CsrKeyRefused
  | CsrMalformed
  | CsrSanMismatch
  | CsrSignatureInvalid
  | CsrSubjectMismatch
  | CsrTooLarge
