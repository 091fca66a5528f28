/** Knows a peer by the certificate of its TLS connection, checked anew at each request. */
import { CurrentPeer, type Peer, PeerAuth } from "@mosaic-federation/domain/api/PeerAuth"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { DateTime, Effect, Layer } from "effect"
import { HttpServerRequest } from "effect/http"
import { type Identity, PeerIdentity } from "../peer/PeerIdentity.ts"
import { CurrentRecord } from "./RequestRecord.ts"
import { shownCertificate } from "./shownCertificate.ts"

const peerOf = ({ certificate, grant, record }: Identity): Peer => ({
  grant,
  certificate: {
    serial: record.serial,
    fingerprintSha256: certificate.fingerprintSha256,
    notBefore: DateTime.fromDateUnsafe(certificate.notBefore),
    notAfter: DateTime.fromDateUnsafe(certificate.notAfter)
  }
})

export const layer = Layer.effect(
  PeerAuth,
  Effect.gen(function* () {
    const peers = yield* PeerIdentity
    return PeerAuth.of((httpEffect) =>
      Effect.gen(function* () {
        const record = yield* CurrentRecord
        const shown = yield* shownCertificate(yield* HttpServerRequest.HttpServerRequest)
        const peer = peerOf(yield* peers.identify(shown))
        const requester = `certificate:${peer.certificate.serial}`
        record.requester = requester
        return yield* httpEffect.pipe(
          Effect.provideService(CurrentPeer, peer),
          Effect.provideService(CurrentRequest, { requester, requestId: record.requestId })
        )
      })
    )
  })
)
