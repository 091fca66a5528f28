/**
 * Turns an enrollment token and a CSR into a certificate. The token goes over TLS that is verified against a root whose
 * SHA-256 it carries, and nowhere else. A repeat with the same CSR brings the same certificate: keep it until then.
 */
import { parseEnrollmentToken } from "@mosaic-federation/domain/EnrollmentToken"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { EnrollmentUrlMismatch, GatewayRootsRefused } from "@mosaic-federation/domain/PeerSideErrors"
import type { GrantOids } from "@mosaic-federation/x509/Oid"
import { Effect, Option, type Redacted, Schedule } from "effect"
import { GatewayClient } from "./GatewayClient.ts"
import { fetchRoots } from "./GatewayTrust.ts"
import { checkReceived, type ReceivedCertificate } from "./ReceivedCertificate.ts"

export interface EnrollmentRequest {
  readonly token: Redacted.Redacted
  /** PKCS#10 in PEM. */
  readonly csrPem: string
  /** Where the peer believes the gateway to be; the token says it too, and both must agree. */
  readonly url: Option.Option<URL>
  readonly oids: GrantOids
}

/** An answer that was lost, or a redemption of the same token that has not ended: the same request is safe to repeat. */
const again = (error: MosaicError) =>
  error._tag === "GatewayAnswerLost" ||
  error._tag === "EnrollmentTokenBusy" ||
  error._tag === "ServerOverloaded" ||
  error._tag === "ServerDraining"

export const enroll = Effect.fn("PeerEnrollment.enroll")(function* ({
  csrPem,
  oids,
  token,
  url
}: EnrollmentRequest): Effect.fn.Return<ReceivedCertificate, MosaicError> {
  const contents = yield* Effect.fromResult(parseEnrollmentToken(token))
  const gateway = new URL(new URL(contents.url).origin)
  if (Option.isSome(url) && url.value.origin !== gateway.origin) {
    return yield* new EnrollmentUrlMismatch({ given: url.value.origin, inToken: gateway.origin })
  }
  const roots = yield* fetchRoots(gateway, contents.roots)
  const rootsPem = roots.map(({ pem }) => pem)
  const document = yield* Effect.scoped(
    Effect.flatMap(GatewayClient.make({ asker: "peer", url: gateway, rootsPem, bearer: token }), ({ ask }) =>
      ask((api) => api.enrollment.enroll({ payload: { csr: csrPem } })).pipe(
        Effect.retry({ while: again, schedule: Schedule.spaced("1 second"), times: 2 })
      )
    )
  ).pipe(
    Effect.catchTag("GatewayUntrusted", ({ reason }) =>
      Effect.fail(
        new GatewayRootsRefused({
          url: gateway.origin,
          problem: `the root is the token's, but the gateway's TLS certificate does not hold under it (${reason})`
        })
      )
    )
  )
  return yield* checkReceived(document, { url: gateway, csrPem, roots, oids })
})
