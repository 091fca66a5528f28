/** What operators get told about grants beyond the grant itself: pages, revocations, explanations. */
import { Schema } from "effect"
import { GrantStatus } from "../Grant.ts"
import { GrantId } from "../GrantId.ts"
import { Lifetime } from "../Lifetime.ts"
import { CaRevocations, CertificateDocument } from "./CertificateDocument.ts"
import { GrantDocument, Instant } from "./GrantDocument.ts"

/** Stays on record, and refusals repeat it. */
export const Reason = Schema.String.check(
  Schema.isPattern(/^(?=.*\S)[^\p{Cc}]{1,500}$/u, { expected: "1 to 500 characters on one line" })
)

export const GrantPage = Schema.Struct({
  /** The newest first. */
  grants: Schema.Array(GrantDocument),
  /** For `before`, where there are more. */
  next: Schema.NullOr(GrantId)
}).annotate({ identifier: "GrantPage" })

export const GrantWithCertificates = Schema.Struct({
  ...GrantDocument.fields,
  /** The newest twenty. */
  certificates: Schema.Array(CertificateDocument)
}).annotate({ identifier: "GrantWithCertificates" })

/** What a revocation does, and what it does not: certificates that are out stay valid for whoever checks them alone. */
export const RevocationDocument = Schema.Struct({
  ...GrantDocument.fields,
  alreadyRevoked: Schema.Boolean,
  liveCertificates: Schema.Int,
  lastNotAfter: Schema.NullOr(Instant),
  caRevocations: CaRevocations
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
  lastNotAfter: Schema.NullOr(Instant),
  caRevocations: CaRevocations
}).annotate({ identifier: "HolderRevocation" })

/** For those who ask often: a change is in it at once, and an issuance never asks here. */
export const GrantStatusDocument = Schema.Struct({
  grantId: GrantId,
  status: GrantStatus,
  expiresAt: Instant,
  /** `cache`, or `row` where the database was asked. */
  from: Schema.Literals(["cache", "row"])
}).annotate({ identifier: "GrantStatusAnswer" })
