/** The audit record: every decision, in the order in which it was sealed, and the head of its hash chain. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { StorageError } from "../StorageErrors.ts"
import { Access, operator } from "./Access.ts"
import { Instant } from "./GrantDocument.ts"
import { PageSize } from "./GrantsApi.ts"
import { OperatorAuth } from "./OperatorAuth.ts"
import { problems } from "./Problem.ts"

export const AuditEntryDocument = Schema.Struct({
  height: Schema.Int,
  /** The number of the record; it is part of what is hashed. */
  record: Schema.Int,
  at: Instant,
  action: Schema.String,
  outcome: Schema.String,
  requester: Schema.String,
  requestId: Schema.String,
  grantId: Schema.NullOr(Schema.String),
  serial: Schema.NullOr(Schema.String),
  /** What else it is about: the id of a token or an API key, the serial that is renewed, a method and path. */
  subject: Schema.NullOr(Schema.String),
  errorCode: Schema.NullOr(Schema.String),
  detail: Schema.NullOr(Schema.String),
  /** Hash of this entry and the one before it, lower-case hex. */
  hash: Schema.String
}).annotate({ identifier: "AuditEntry" })

export const AuditHeadDocument = Schema.Struct({
  height: Schema.Int,
  hash: Schema.String,
  /** Recorded and not yet in the chain. */
  unsealed: Schema.Int,
  /** When it was signed. */
  at: Instant,
  /** Of the gateway's audit key: DER SubjectPublicKeyInfo, base64url. */
  publicKey: Schema.String,
  /** Ed25519, base64url; docs/federation/audit.md says of what. */
  signature: Schema.String
}).annotate({ identifier: "AuditHead" })

export class AuditApi extends HttpApiGroup.make("audit")
  .add(
    HttpApiEndpoint.get("list", "/audit", {
      query: {
        /** Only entries above this height. */
        after: Schema.optionalKey(Schema.Int),
        limit: Schema.optionalKey(PageSize)
      },
      success: Schema.Struct({ entries: Schema.Array(AuditEntryDocument) }),
      error: problems(StorageError.members)
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.get("head", "/audit/head", {
      success: AuditHeadDocument,
      error: problems(StorageError.members)
    }).annotate(Access, operator("read"))
  )
  .middleware(OperatorAuth)
  .prefix("/v1")
  .annotateMerge(OpenApi.annotations({ title: "Audit", description: "Who decided what, tamper-evident" })) {}
