/** Identity: who the gateway takes a peer for, by its certificate, at this moment. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { SerialNumber } from "../SerialNumber.ts"
import { Access, peerCertificate } from "./Access.ts"
import { GrantDocument, Instant } from "./GrantDocument.ts"
import { PeerAuth } from "./PeerAuth.ts"

export const IdentityDocument = Schema.Struct({
  grantId: GrantDocument.fields.id,
  subjectUserId: GrantDocument.fields.subjectUserId,
  peer: GrantDocument.fields.peer,
  scopes: GrantDocument.fields.scopes,
  grantExpiresAt: Instant,
  certificate: Schema.Struct({
    serial: SerialNumber,
    fingerprintSha256: Schema.String,
    notBefore: Instant,
    notAfter: Instant
  })
}).annotate({ identifier: "Identity" })

export class IdentityApi extends HttpApiGroup.make("identity")
  .add(
    HttpApiEndpoint.get("whoami", "/whoami", { success: IdentityDocument }).annotate(Access, peerCertificate)
  )
  .middleware(PeerAuth)
  .prefix("/v1")
  .annotateMerge(OpenApi.annotations({ title: "Identity", description: "Who a certificate stands for" })) {}
