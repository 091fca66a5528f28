/**
 * Who may ask what: each endpoint of the contract says it, the server enforces what is said here and nothing else, and
 * docs/federation/authorization.md is the same as a table.
 */
import { Context, Schema } from "effect"

/** What an operator's credential allows; each includes the one before it. */
export const OperatorScope = Schema.Literals(["read", "issue", "admin"])

export type OperatorScope = typeof OperatorScope.Type

export const includesScope = (held: OperatorScope, needed: OperatorScope): boolean =>
  OperatorScope.literals.indexOf(held) >= OperatorScope.literals.indexOf(needed)

export type AccessRule =
  /** Anybody, without a credential. */
  | { readonly _tag: "Open" }
  | { readonly _tag: "Operator"; readonly scope: OperatorScope }
  /** Whoever holds an enrollment token that is good for it. */
  | { readonly _tag: "EnrollmentToken" }
  /** Whoever proves to hold the key of a grant certificate that is good at this moment. */
  | { readonly _tag: "PeerCertificate" }

/** An annotation of every endpoint. */
export class Access extends Context.Service<Access, AccessRule>()("@mosaic-federation/domain/api/Access") {}

export const open: AccessRule = { _tag: "Open" }
export const enrollmentToken: AccessRule = { _tag: "EnrollmentToken" }
export const peerCertificate: AccessRule = { _tag: "PeerCertificate" }
export const operator = (scope: OperatorScope): AccessRule => ({ _tag: "Operator", scope })
