/**
 * A peer's proof that it holds the key of its certificate, for where a proxy ends TLS: a JWS in compact form (RFC 7515)
 * whose x5c shows the certificate and which is good for one request of one minute. Whether the certificate is good for
 * anything is left to `PeerIdentity`, and whether proofs are accepted at all to the server.
 */
import { createHash, type KeyObject, randomUUID } from "node:crypto"
import {
  RenewalProofInvalid,
  RenewalProofReplayed,
  RenewalProofStale
} from "@mosaic-federation/domain/PeerErrors"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { RenewalRepo } from "@mosaic-federation/issuance/RenewalRepo"
import { type Certificate, parseCertificate } from "@mosaic-federation/x509/Certificate"
import { Context, DateTime, Duration, Effect, Layer, Result, Schema } from "effect"
import { CompactSign, compactVerify, decodeProtectedHeader } from "jose"

export interface ProofRequest {
  readonly proof: string
  /** The octets of the request's body, as they came. */
  readonly body: Uint8Array
  /** The URL that the peer asked for. */
  readonly audience: string
}

export type ProofError = RenewalProofInvalid | RenewalProofStale | RenewalProofReplayed | StorageError

/** How far iat may be from the gateway's clock. */
const tolerance = Duration.seconds(60)

const mostOctets = 32 * 1024

/** RFC 7518 §3.1 and RFC 8037: what goes with the keys that the key policy accepts. */
const algorithmsOf = (key: KeyObject): ReadonlyArray<string> => {
  switch (key.asymmetricKeyType) {
    case "ec":
      return key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? ["ES384"] : ["ES256"]
    case "ed25519":
      return ["EdDSA", "Ed25519"]
    case "rsa":
      return ["RS256", "PS256"]
    default:
      return []
  }
}

const Claims = Schema.fromJsonString(
  Schema.Struct({
    aud: Schema.String,
    iat: Schema.Int,
    jti: Schema.String.check(
      Schema.isPattern(/^[\x21-\x7e]{16,128}$/, { expected: "16 to 128 visible ASCII characters" })
    ),
    body_sha256: Schema.String
  })
)

const decodeClaims = Schema.decodeUnknownEffect(Claims)

const sha256 = (data: Uint8Array | string) => createHash("sha256").update(data)

const invalid = (problem: string) => new RenewalProofInvalid({ problem })

const shownCertificate = (proof: string): Result.Result<Certificate, RenewalProofInvalid> => {
  if (proof.length > mostOctets) return Result.fail(invalid(`the JWS is larger than ${mostOctets} octets`))
  return Result.gen(function* () {
    const header = yield* Result.try({
      try: () => decodeProtectedHeader(proof),
      catch: () => invalid("this is no JWS in compact form (RFC 7515 §7.1)")
    })
    const [leaf] = header.x5c ?? []
    if (leaf === undefined) return yield* Result.fail(invalid("x5c: the header shows no certificate"))
    return yield* Result.mapError(parseCertificate(Buffer.from(leaf, "base64")), ({ message }) =>
      invalid(`x5c: ${message}`)
    )
  })
}

/** The DER of the certificate that a proof names, whether or not it proves anything. */
export const shownIn = (proof: string): Uint8Array | undefined =>
  Result.getOrUndefined(shownCertificate(proof))?.der

export class RenewalProof extends Context.Service<
  RenewalProof,
  {
    /** The DER of the certificate whose key made the proof. The proof is spent by this. */
    readonly verify: (request: ProofRequest) => Effect.Effect<Uint8Array, ProofError>
  }
>()("@mosaic-federation/gateway/RenewalProof") {
  static readonly layerNoDeps = Layer.effect(
    RenewalProof,
    Effect.gen(function* () {
      const renewals = yield* RenewalRepo

      return RenewalProof.of({
        verify: Effect.fn("RenewalProof.verify")(function* ({
          audience,
          body,
          proof
        }: ProofRequest): Effect.fn.Return<Uint8Array, ProofError> {
          const certificate = yield* Effect.fromResult(shownCertificate(proof))
          const { key } = certificate.publicKey
          const { payload } = yield* Effect.tryPromise({
            try: () => compactVerify(proof, key, { algorithms: [...algorithmsOf(key)] }),
            catch: () => invalid("the signature is not of the certificate's key, or its alg is not accepted")
          })
          const claims = yield* decodeClaims(Buffer.from(payload).toString("utf8")).pipe(
            Effect.mapError(({ message }) => invalid(message))
          )
          if (claims.aud !== audience) {
            return yield* invalid(`aud: expected ${audience}, found ${claims.aud}`)
          }
          if (claims.body_sha256 !== sha256(body).digest("base64url")) {
            return yield* invalid("body_sha256: this is not the SHA-256 of the body, in base64url")
          }
          const now = yield* DateTime.now
          const issuedAt = DateTime.makeUnsafe(claims.iat * 1000)
          const age = Math.abs(DateTime.toEpochMillis(now) - DateTime.toEpochMillis(issuedAt))
          if (age > Duration.toMillis(tolerance)) return yield* new RenewalProofStale({ issuedAt, now })
          const taken = sha256(`${certificate.fingerprintSha256} ${claims.jti}`).digest("hex")
          const forgetAt = DateTime.addDuration(issuedAt, Duration.times(tolerance, 3))
          if (!(yield* renewals.takeProof(taken, forgetAt))) {
            return yield* new RenewalProofReplayed({ jti: claims.jti })
          }
          return certificate.der
        })
      })
    })
  )
}

/** What a peer sends. `certificateDer` is the leaf, `key` its private key. */
export const makeRenewalProof = (options: {
  readonly key: KeyObject
  readonly certificateDer: Uint8Array
  readonly body: Uint8Array
  readonly audience: string
  readonly now: DateTime.Utc
}): Effect.Effect<string> => {
  const { audience, body, certificateDer, key, now } = options
  const claims = {
    aud: audience,
    iat: Math.floor(DateTime.toEpochMillis(now) / 1000),
    jti: randomUUID(),
    body_sha256: sha256(body).digest("base64url")
  }
  const [alg = "ES256"] = algorithmsOf(key)
  return Effect.promise(() =>
    new CompactSign(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader({ alg, x5c: [Buffer.from(certificateDer).toString("base64")] })
      .sign(key)
  )
}
