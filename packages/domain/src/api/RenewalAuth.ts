/** How a peer that renews says who it is: by the certificate of the TLS handshake, or by a proof behind a proxy. */
import { HttpApiMiddleware } from "effect/http-api"
import { RenewalProofInvalid, RenewalProofReplayed, RenewalProofStale } from "../PeerErrors.ts"
import { peerRefusals } from "./PeerAuth.ts"
import { problems } from "./Problem.ts"

/** Before anything else of the request is looked at. */
export class RenewalAuth extends HttpApiMiddleware.Service<RenewalAuth>()(
  "@mosaic-federation/domain/api/RenewalAuth",
  { error: problems([RenewalProofInvalid, RenewalProofStale, RenewalProofReplayed, ...peerRefusals]) }
) {}
