/** Grants: the rights that operators give, look at, change and end. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { GivenInstant } from "../GivenInstant.ts"
import { GrantStatus, NewGrant, PeerName } from "../Grant.ts"
import { GrantAlreadyExists, GrantExpired, GrantNotFound, GrantRevoked } from "../GrantErrors.ts"
import { GrantId } from "../GrantId.ts"
import { Lifetime } from "../Lifetime.ts"
import { RequestInvalid } from "../RequestErrors.ts"
import { ScopeInsufficient } from "../ServerErrors.ts"
import { StorageError } from "../StorageErrors.ts"
import { UserId } from "../UserId.ts"
import { Access, operator } from "./Access.ts"
import { GrantDocument } from "./GrantDocument.ts"
import {
  ExplanationDocument,
  GrantPage,
  GrantStatusDocument,
  GrantWithCertificates,
  HolderRevocationDocument,
  Reason,
  RevocationDocument
} from "./GrantDocuments.ts"
import { OperatorAuth } from "./OperatorAuth.ts"
import { problems } from "./Problem.ts"

/** Of a page: 1 to 1000, 100 by default. */
export const PageSize = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))

const byId = { id: GrantId }

const found = problems([GrantNotFound, ...StorageError.members])

export class GrantsApi extends HttpApiGroup.make("grants")
  .add(
    HttpApiEndpoint.post("create", "/grants", {
      payload: Schema.Struct(NewGrant.fields),
      success: GrantDocument.pipe(HttpApiSchema.status(201)),
      error: problems([RequestInvalid, GrantAlreadyExists, ...StorageError.members])
    }).annotate(Access, operator("issue")),
    HttpApiEndpoint.get("list", "/grants", {
      query: {
        peer: Schema.optionalKey(PeerName),
        user: Schema.optionalKey(UserId),
        status: Schema.optionalKey(GrantStatus),
        /** Only grants that end within this time, such as `24h`. */
        expiring: Schema.optionalKey(Lifetime),
        limit: Schema.optionalKey(PageSize),
        before: Schema.optionalKey(GrantId)
      },
      success: GrantPage,
      error: problems(StorageError.members)
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.get("get", "/grants/:id", {
      params: byId,
      success: GrantWithCertificates,
      error: found
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.get("status", "/grants/:id/status", {
      params: byId,
      success: GrantStatusDocument,
      error: found
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.patch("changeExpiry", "/grants/:id", {
      params: byId,
      payload: Schema.Struct({ expiresAt: GivenInstant }),
      success: GrantDocument,
      error: problems([
        RequestInvalid,
        ScopeInsufficient,
        GrantNotFound,
        GrantRevoked,
        GrantExpired,
        ...StorageError.members
      ])
    }).annotate(Access, operator("issue")),
    HttpApiEndpoint.post("suspend", "/grants/:id/suspend", {
      params: byId,
      success: GrantDocument,
      error: problems([GrantNotFound, GrantRevoked, GrantExpired, ...StorageError.members])
    }).annotate(Access, operator("issue")),
    HttpApiEndpoint.post("resume", "/grants/:id/resume", {
      params: byId,
      success: GrantDocument,
      error: problems([GrantNotFound, GrantRevoked, GrantExpired, ...StorageError.members])
    }).annotate(Access, operator("issue")),
    HttpApiEndpoint.post("revoke", "/grants/:id/revoke", {
      params: byId,
      payload: Schema.Struct({ reason: Reason }),
      success: RevocationDocument,
      error: found
    }).annotate(Access, operator("issue")),
    HttpApiEndpoint.get("explain", "/grants/:id/explain", {
      params: byId,
      success: ExplanationDocument,
      error: found
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.post("revokeHolder", "/revocations", {
      /** One of `peer` and `user`. */
      payload: Schema.Struct({
        peer: Schema.optionalKey(PeerName),
        user: Schema.optionalKey(UserId),
        reason: Reason,
        dryRun: Schema.optionalKey(Schema.Boolean)
      }),
      success: HolderRevocationDocument,
      error: problems([RequestInvalid, ...StorageError.members])
    }).annotate(Access, operator("admin"))
  )
  .middleware(OperatorAuth)
  .prefix("/v1")
  .annotateMerge(
    OpenApi.annotations({ title: "Grants", description: "What peers may do for whom, until when" })
  ) {}
