/**
 * A peer's next certificate, for the one that it holds: by mTLS, and where a proxy that ends TLS keeps the certificate
 * from the gateway, by a proof of its key. A repeat with the same CSR brings the same certificate.
 */
import { createPrivateKey, randomUUID } from "node:crypto"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import type { GrantOids } from "@mosaic-federation/x509/Oid"
import { parseRootBundle } from "@mosaic-federation/x509/RootBundle"
import { DateTime, Effect, Option, Redacted, Result } from "effect"
import { makeRenewalProof } from "../peer/RenewalProof.ts"
import { GatewayClient } from "./GatewayClient.ts"
import type { Held } from "./PeerDirectory.ts"
import { checkReceived, type ReceivedCertificate } from "./ReceivedCertificate.ts"

export interface RenewalRequest {
  readonly held: Held
  readonly privateKeyPem: Redacted.Redacted
  /** PKCS#10 in PEM, of a new key. */
  readonly csrPem: string
  readonly oids: GrantOids
}

/**
 * The roots as the gateway has them now. They come over TLS that is verified against those that are held, so that a
 * change of roots reaches the peer before the old one ends. Those that are held stay where there is no answer.
 */
const rootsNow = Effect.fnUntraced(function* ({ ask }: GatewayClient["Service"], held: Held) {
  const pem = yield* Effect.option(ask((api) => api.roots.roots()))
  const now = DateTime.toDateUtc(yield* DateTime.now)
  const bundle = Option.flatMap(pem, (text) => Result.getSuccess(parseRootBundle(text, now)))
  return Option.getOrElse(bundle, () => held.roots)
})

export const renew = Effect.fn("PeerRenewal.renew")(
  function* ({
    csrPem,
    held,
    oids,
    privateKeyPem
  }: RenewalRequest): Effect.fn.Return<ReceivedCertificate, MosaicError> {
    const payload = { csr: csrPem }
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const client = yield* GatewayClient.make({
          asker: "peer",
          url: held.url,
          rootsPem: held.roots.map(({ pem }) => pem),
          certificate: { fullChainPem: held.fullChainPem, privateKeyPem }
        })
        const byProof = Effect.gen(function* () {
          const proof = yield* makeRenewalProof({
            key: createPrivateKey(Redacted.value(privateKeyPem)),
            certificateDer: held.leaf.der,
            body: Buffer.from(JSON.stringify(payload)),
            audience: new URL("/v1/renew", held.url).href,
            now: yield* DateTime.now
          })
          const headers = { "mosaic-renewal-proof": proof }
          return yield* client.ask((api) => api.renewal.renew({ headers, payload }))
        })
        const document = yield* client
          .ask((api) => api.renewal.renew({ headers: {}, payload }))
          .pipe(Effect.catchTag("PeerCertificateMissing", () => byProof))
        const roots = yield* rootsNow(client, held)
        const { grantId, url } = held
        return yield* checkReceived(document, { url, csrPem, roots, oids, grantId })
      })
    )
  },
  (effect) =>
    Effect.suspend(() =>
      Effect.provideService(effect, CurrentRequest, { requester: "agent", requestId: randomUUID() })
    )
)
