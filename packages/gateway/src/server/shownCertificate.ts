/** The certificate that the peer of this connection showed, and whose key it proved to hold in the TLS handshake. */
import { TLSSocket } from "node:tls"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { PeerCertificateMissing } from "@mosaic-federation/domain/PeerErrors"
import { Effect } from "effect"
import type { HttpServerRequest } from "effect/http"

/**
 * Its DER. RFC 8446 §4.4.3: a handshake that ended has the client's signature over it, whoever issued the certificate;
 * what it is worth is left to `PeerIdentity`.
 */
export const shownCertificate = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
  const { socket } = NodeHttpServerRequest.toIncomingMessage(request)
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  return certificate === undefined ? yield* new PeerCertificateMissing() : new Uint8Array(certificate.raw)
})
