/** Grants: the rights that operators give, look at, change and end. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { GrantStatus, NewGrant, PeerName } from "../Grant.ts"
import { GrantAlreadyExists, GrantExpired, GrantNotFound, GrantRevoked } from "../GrantErrors.ts"
import { GrantId } from "../GrantId.ts"
import { Lifetime } from "../Lifetime.ts"
import { RequestInvalid } from "../RequestErrors.ts"
import { ScopeInsufficient } from "../ServerErrors.ts"
import { StorageError } from "../StorageErrors.ts"
import { UserId } from "../UserId.ts"
import { Access, operator } from "./Access.ts"
import { CertificateDocument } from "./CertificateDocument.ts"
import { GrantDocument, Instant } from "./GrantDocument.ts"
import { OperatorAuth } from "./OperatorAuth.ts"
import { problems } from "./Problem.ts"

/** Of a page: 1 to 1000, 100 by default. */
export const PageSize = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))

/** Stays on record, and refusals repeat it. */
export const Reason = Schema.String.check(
  Schema.isPattern(/^(?=.*\S)[^\p{Cc}]{1,500}$/u, { expected: "1 to 500 characters on one line" })
)

const byId = { id: GrantId }

export const GrantPage = Schema.Struct({
  /** The newest first. */
  grants: Schema.Array(GrantDocument),
  /** For `before`, where there are more. */
  next: Schema.NullOr(GrantId)
}).annotate({ identifier: "GrantPage" })

/** What a revocation does, and what it does not: certificates that are out stay valid for whoever checks them alone. */
export const RevocationDocument = Schema.Struct({
  ...GrantDocument.fields,
  alreadyRevoked: Schema.Boolean,
  liveCertificates: Schema.Int,
  lastNotAfter: Schema.NullOr(Instant),
  /** How far the CA has followed; the open ones are tried until they are done. */
  caRevocations: Schema.Struct({
    done: Schema.Int,
    open: Schema.Int,
    because: Schema.NullOr(Schema.String)
  })
}).annotate({ identifier: "GrantRevocation" })

/** One rule of the chain that an issuance goes through. */
export const RuleDocument = Schema.Struct({
  rule: Schema.String,
  outcome: Schema.Literals(["ok", "fails"]),
  /** What was looked at. */
  found: Schema.String,
  /** The code of the error that it fails with. */
  errorCode: Schema.NullOr(Schema.String),
  /** When an `ok` turns into a failure by the clock alone; null where it does not. */
  holdsUntil: Schema.NullOr(Instant)
}).annotate({ identifier: "Rule" })

export const ExplanationDocument = Schema.Struct({
  grant: GrantDocument,
  at: Instant,
  mayIssue: Schema.Boolean,
  /** The longest lifetime that may be asked for now; null where none may. */
  longestLifetime: Schema.NullOr(Lifetime),
  rules: Schema.Array(RuleDocument),
  /** The rule that fails first as time goes by, and when; null where one fails already. */
  next: Schema.NullOr(Schema.Struct({ rule: Schema.String, errorCode: Schema.String, at: Instant }))
}).annotate({ identifier: "Explanation" })

export const HolderRevocationDocument = Schema.Struct({
  dryRun: Schema.Boolean,
  grants: Schema.Array(
    Schema.Struct({
      grant: GrantDocument,
      liveCertificates: Schema.Int,
      lastNotAfter: Schema.NullOr(Instant)
    })
  ),
  liveCertificates: Schema.Int,
  lastNotAfter: Schema.NullOr(Instant)
}).annotate({ identifier: "HolderRevocation" })

/** For those who ask often: a change is in it at once, and an issuance never asks here. */
export const GrantStatusDocument = Schema.Struct({
  grantId: GrantId,
  status: GrantStatus,
  expiresAt: Instant,
  /** `cache`, or `row` where the database was asked. */
  from: Schema.Literals(["cache", "row"])
}).annotate({ identifier: "GrantStatusAnswer" })

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
      success: Schema.Struct({
        ...GrantDocument.fields,
        /** The newest twenty. */
        certificates: Schema.Array(CertificateDocument)
      }).annotate({ identifier: "GrantWithCertificates" }),
      error: found
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.get("status", "/grants/:id/status", {
      params: byId,
      success: GrantStatusDocument,
      error: found
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.patch("changeExpiry", "/grants/:id", {
      params: byId,
      payload: Schema.Struct({ expiresAt: Instant }),
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
