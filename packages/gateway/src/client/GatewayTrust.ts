/**
 * How a newcomer comes to trust a gateway of which it knows nothing but the SHA-256 of its roots. It sends no secret, and
 * keeps nothing but roots of these fingerprints. TLS is verified all the time: docs/decisions/0008 says how, and why.
 */
import { isIP } from "node:net"
import { connect, type DetailedPeerCertificate } from "node:tls"
import { GatewayUnreachable, GatewayUntrusted } from "@mosaic-federation/domain/GatewayErrors"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { GatewayRootsRefused } from "@mosaic-federation/domain/PeerSideErrors"
import type { Certificate } from "@mosaic-federation/x509/Certificate"
import { formatPem } from "@mosaic-federation/x509/Pem"
import { parseRootBundle } from "@mosaic-federation/x509/RootBundle"
import { DateTime, Duration, Effect, Result } from "effect"
import { GatewayClient } from "./GatewayClient.ts"

/** However slowly it speaks. */
const patience = Duration.seconds(5)

/** The roots lie ready: a gateway that does not say them for so long does not answer. */
const rootsPatience = Duration.seconds(20)

/** As the server sent them, the leaf first. */
const pemsOf = (leaf: DetailedPeerCertificate): ReadonlyArray<string> => {
  const seen = new Map<string, string>()
  let certificate: DetailedPeerCertificate | undefined = leaf
  while (certificate?.raw !== undefined && !seen.has(certificate.fingerprint256)) {
    seen.set(certificate.fingerprint256, formatPem("CERTIFICATE", certificate.raw))
    certificate = certificate.issuerCertificate
  }
  return [...seen.values()]
}

const connectFailure = (url: string, { code = "UNKNOWN" }: NodeJS.ErrnoException) =>
  code.startsWith("ERR_SSL_") || code === "EPROTO" || code === "ECONNRESET"
    ? new GatewayUntrusted({ url, check: "handshake", reason: code, asker: "peer" })
    : new GatewayUnreachable({ url, reason: code, asker: "peer" })

/**
 * The certificates that whoever answers there shows, by a handshake that trusts nobody and therefore always ends in a
 * refusal. Not one octet of a request is sent on it.
 */
const shownAt = (url: URL) =>
  Effect.callback<ReadonlyArray<string>, GatewayUnreachable | GatewayUntrusted>((resume) => {
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1")
    let shown: ReadonlyArray<string> = []
    const socket = connect({
      host,
      port: Number(url.port === "" ? 443 : url.port),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ca: [],
      rejectUnauthorized: true,
      minVersion: "TLSv1.2"
    })
    // Before Node's own listener, which refuses and closes.
    socket.prependListener("secure", () => {
      shown = pemsOf(socket.getPeerCertificate(true))
    })
    socket.once("error", (error) => {
      resume(shown.length > 0 ? Effect.succeed(shown) : Effect.fail(connectFailure(url.origin, error)))
    })
    return Effect.sync(() => socket.destroy())
  }).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () =>
        Effect.fail(
          new GatewayUnreachable({
            url: url.origin,
            reason: `no TLS handshake within ${Duration.toSeconds(patience)} s`,
            asker: "peer"
          })
        )
    })
  )

/** `fingerprints`: SHA-256 of the DER of each root, in lower-case hex, from somebody who is trusted. */
export const fetchRoots = Effect.fn("GatewayTrust.fetchRoots")(function* (
  url: URL,
  fingerprints: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<Certificate>, MosaicError> {
  const refused = (problem: string) => new GatewayRootsRefused({ url: url.origin, problem })
  const shown = yield* shownAt(url)
  const pem = yield* Effect.scoped(
    Effect.flatMap(
      GatewayClient.make({
        asker: "peer",
        url,
        rootsPem: shown,
        anyAnchor: true,
        totalTimeout: rootsPatience
      }),
      ({ ask }) => ask((api) => api.roots.roots())
    )
  ).pipe(
    // Whoever has asked for nothing but the roots has nothing to lose in an answer.
    Effect.catchTag("GatewayAnswerLost", ({ asker, reason }) =>
      Effect.fail(new GatewayUnreachable({ url: url.origin, reason: `GET /v1/roots: ${reason}`, asker }))
    )
  )
  const now = DateTime.toDateUtc(yield* DateTime.now)
  const roots = yield* Effect.fromResult(
    Result.mapError(parseRootBundle(pem, now), ({ message }) => refused(message))
  )
  const stranger = roots.find(({ fingerprintSha256 }) => !fingerprints.includes(fingerprintSha256))
  if (stranger !== undefined) {
    return yield* refused(
      `${stranger.subject.text} has SHA-256 ${stranger.fingerprintSha256}, which is not in the token`
    )
  }
  return roots
})
