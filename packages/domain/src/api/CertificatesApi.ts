/** Certificates: issued for a CSR that an operator hands in, looked up in the ledger, revoked. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { CertificateNotFound } from "../CommandErrors.ts"
import { PeerName } from "../Grant.ts"
import { GrantId } from "../GrantId.ts"
import { Lifetime } from "../Lifetime.ts"
import { SerialNumber } from "../SerialNumber.ts"
import { IdempotencyKeyReused } from "../ServerErrors.ts"
import { StorageError } from "../StorageErrors.ts"
import { UserId } from "../UserId.ts"
import { Access, operator } from "./Access.ts"
import {
  CertificatePage,
  CertificateRevocationDocument,
  CertificateState,
  CertificateWithChain,
  IssuedDocument
} from "./CertificateDocument.ts"
import { CsrPem } from "./EnrollmentApi.ts"
import { Reason } from "./GrantDocuments.ts"
import { PageSize } from "./GrantsApi.ts"
import { issuanceErrors } from "./issuanceErrors.ts"
import { OperatorAuth } from "./OperatorAuth.ts"
import { problems } from "./Problem.ts"

/** 1 to 255 visible ASCII characters that the caller chooses anew for each request. */
export const IdempotencyKey = Schema.String.check(
  Schema.isPattern(/^[\x21-\x7e]{1,255}$/, { expected: "1 to 255 visible ASCII characters" })
)

const bySerial = { serial: SerialNumber }

const found = problems([CertificateNotFound, ...StorageError.members])

export class CertificatesApi extends HttpApiGroup.make("certificates")
  .add(
    HttpApiEndpoint.post("issue", "/grants/:id/certificates", {
      params: { id: GrantId },
      headers: { "idempotency-key": Schema.optionalKey(IdempotencyKey) },
      payload: Schema.Struct({
        csr: CsrPem,
        /** Given in full or refused, never cut. */
        lifetime: Schema.optionalKey(Lifetime)
      }),
      success: IssuedDocument.pipe(HttpApiSchema.status(201)),
      error: problems([IdempotencyKeyReused, ...issuanceErrors])
    }).annotate(Access, operator("issue")),
    HttpApiEndpoint.get("list", "/certificates", {
      query: {
        grant: Schema.optionalKey(GrantId),
        peer: Schema.optionalKey(PeerName),
        user: Schema.optionalKey(UserId),
        state: Schema.optionalKey(CertificateState),
        /** Only those that may be alive, ambiguous ones too, and end within this time, such as `1h`. */
        expiring: Schema.optionalKey(Lifetime),
        limit: Schema.optionalKey(PageSize)
      },
      success: CertificatePage,
      error: problems(StorageError.members)
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.get("get", "/certificates/:serial", {
      params: bySerial,
      success: CertificateWithChain,
      error: found
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.post("revoke", "/certificates/:serial/revoke", {
      params: bySerial,
      payload: Schema.Struct({ reason: Reason }),
      success: CertificateRevocationDocument,
      error: found
    }).annotate(Access, operator("issue"))
  )
  .middleware(OperatorAuth)
  .prefix("/v1")
  .annotateMerge(
    OpenApi.annotations({ title: "Certificates", description: "The ledger of what was issued" })
  ) {}
