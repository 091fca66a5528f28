/** Enrollment: the tokens that operators make for a grant, and the one certificate that a peer gets for each. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { EnrollmentError, EnrollmentTokenNotFound } from "../EnrollmentErrors.ts"
import { Sha256Hex } from "../EnrollmentToken.ts"
import { EnrollmentTokenId } from "../EnrollmentTokenId.ts"
import { GrantExpired, GrantNotFound, GrantRevoked, GrantSuspended } from "../GrantErrors.ts"
import { GrantId } from "../GrantId.ts"
import { Lifetime } from "../Lifetime.ts"
import { RequestInvalid } from "../RequestErrors.ts"
import { StorageError } from "../StorageErrors.ts"
import { Access, enrollmentToken, operator } from "./Access.ts"
import { IssuedDocument } from "./CertificateDocument.ts"
import { EnrollmentAuth } from "./EnrollmentAuth.ts"
import { PageSize } from "./GrantsApi.ts"
import { issuanceErrors } from "./issuanceErrors.ts"
import { OperatorAuth } from "./OperatorAuth.ts"
import { problems } from "./Problem.ts"
import { CreatedTokenDocument, TokenDocument, TokenPage } from "./TokenDocument.ts"

/** A PKCS#10 request (RFC 2986) in PEM. */
export const CsrPem = Schema.String

const forGrant = { id: GrantId }

export class EnrollmentTokensApi extends HttpApiGroup.make("enrollmentTokens")
  .add(
    HttpApiEndpoint.post("create", "/grants/:id/enrollment-tokens", {
      params: forGrant,
      payload: Schema.Struct({
        /** 10 minutes by default, a week at most. */
        lifetime: Schema.optionalKey(Lifetime),
        /** SHA-256 of the one SubjectPublicKeyInfo that may be enrolled. */
        keySha256: Schema.optionalKey(Sha256Hex)
      }),
      success: CreatedTokenDocument.pipe(HttpApiSchema.status(201)),
      error: problems([
        RequestInvalid,
        GrantNotFound,
        GrantRevoked,
        GrantSuspended,
        GrantExpired,
        ...StorageError.members
      ])
    }).annotate(Access, operator("issue")),
    HttpApiEndpoint.get("list", "/grants/:id/enrollment-tokens", {
      params: forGrant,
      query: { limit: Schema.optionalKey(PageSize) },
      success: TokenPage,
      error: problems([GrantNotFound, ...StorageError.members])
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.delete("revoke", "/enrollment-tokens/:tokenId", {
      params: { tokenId: EnrollmentTokenId },
      success: TokenDocument,
      error: problems([EnrollmentTokenNotFound, ...StorageError.members])
    }).annotate(Access, operator("issue"))
  )
  .middleware(OperatorAuth)
  .prefix("/v1")
  .annotateMerge(
    OpenApi.annotations({ title: "Enrollment tokens", description: "What an operator hands to a peer" })
  ) {}

export class EnrollmentApi extends HttpApiGroup.make("enrollment")
  .add(
    HttpApiEndpoint.post("enroll", "/enroll", {
      payload: Schema.Struct({ csr: CsrPem }),
      success: IssuedDocument.pipe(HttpApiSchema.status(201)),
      error: problems([...EnrollmentError.members, ...issuanceErrors])
    }).annotate(Access, enrollmentToken)
  )
  .middleware(EnrollmentAuth)
  .prefix("/v1")
  .annotateMerge(
    OpenApi.annotations({ title: "Enrollment", description: "A peer's first certificate, for its token" })
  ) {}
