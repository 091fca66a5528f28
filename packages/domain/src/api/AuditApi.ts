/**
 * The audit record: every decision, in the order in which it was sealed, and its hash chain with all that is needed to
 * prove it elsewhere.
 */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { GrantId } from "../GrantId.ts"
import { StorageError } from "../StorageErrors.ts"
import { Access, operator } from "./Access.ts"
import { PageSize } from "./GrantsApi.ts"
import { OperatorAuth } from "./OperatorAuth.ts"
import { problems } from "./Problem.ts"

/** RFC 3339 in UTC, to the byte as it was hashed or signed. */
const SealedTime = Schema.String

const recordFields = {
  /** The number of the record; it is part of what is hashed. */
  record: Schema.Int,
  at: SealedTime,
  action: Schema.String,
  outcome: Schema.String,
  requester: Schema.String,
  requestId: Schema.String,
  grantId: Schema.NullOr(Schema.String),
  serial: Schema.NullOr(Schema.String),
  /** What else it is about: the id of a token or an API key, the serial that is renewed, a method and path. */
  subject: Schema.NullOr(Schema.String),
  errorCode: Schema.NullOr(Schema.String),
  detail: Schema.NullOr(Schema.String)
} as const

const pointFields = {
  height: Schema.Int,
  /** Hash of this entry and the one before it, lower-case hex. */
  hash: Schema.String
} as const

const AuditEntryDocument = Schema.Struct({ ...pointFields, ...recordFields }).annotate({
  identifier: "AuditEntry"
})

/** What the chain has at one height; `record` is null where the record that was sealed there is gone. */
const AuditLinkDocument = Schema.Struct({
  ...pointFields,
  recordId: Schema.Int,
  record: Schema.NullOr(Schema.Struct(recordFields))
}).annotate({ identifier: "AuditLink" })

const signedFields = {
  ...pointFields,
  /** When it was signed. */
  at: SealedTime,
  /** Of the gateway's audit key: DER SubjectPublicKeyInfo, base64url. */
  publicKey: Schema.String,
  /** Ed25519, base64url; docs/federation/audit.md says of what. */
  signature: Schema.String
} as const

const SignedPointDocument = Schema.Struct(signedFields).annotate({ identifier: "AuditSignedPoint" })

const AuditHeadDocument = Schema.Struct({
  ...signedFields,
  /** Recorded and not yet in the chain. */
  unsealed: Schema.Int
}).annotate({ identifier: "AuditHead" })

export class AuditApi extends HttpApiGroup.make("audit")
  .add(
    HttpApiEndpoint.get("list", "/audit", {
      query: {
        /** Only entries above this height. */
        after: Schema.optionalKey(Schema.Int),
        /** Only entries below this height. */
        before: Schema.optionalKey(Schema.Int),
        grant: Schema.optionalKey(GrantId),
        /** Which come first; by default the oldest. */
        order: Schema.optionalKey(Schema.Literals(["oldest", "newest"])),
        limit: Schema.optionalKey(PageSize)
      },
      success: Schema.Struct({ entries: Schema.Array(AuditEntryDocument) }),
      error: problems(StorageError.members)
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.get("chain", "/audit/chain", {
      query: {
        /** Only what is above this height. */
        after: Schema.optionalKey(Schema.Int),
        limit: Schema.optionalKey(PageSize)
      },
      success: Schema.Struct({ links: Schema.Array(AuditLinkDocument) }),
      error: problems(StorageError.members)
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.get("head", "/audit/head", {
      success: AuditHeadDocument,
      error: problems(StorageError.members)
    }).annotate(Access, operator("read")),
    HttpApiEndpoint.get("heads", "/audit/heads", {
      success: Schema.Struct({
        /** Where the chain begins, where older entries were pruned. */
        checkpoint: Schema.NullOr(SignedPointDocument),
        /** The newest on record, at most 1000. */
        heads: Schema.Array(SignedPointDocument)
      }),
      error: problems(StorageError.members)
    }).annotate(Access, operator("read"))
  )
  .middleware(OperatorAuth)
  .prefix("/v1")
  .annotateMerge(OpenApi.annotations({ title: "Audit", description: "Who decided what, tamper-evident" })) {}
