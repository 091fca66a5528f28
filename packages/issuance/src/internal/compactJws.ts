/**
 * JWS Compact Serialization (RFC 7515 §7.1), signed on the spot. WebCrypto, by which the library signs, hands each signature
 * to another thread and waits for it, which costs an issuance more than the signature does.
 */
import { createHmac, type KeyObject, sign } from "node:crypto"
import { concatenated } from "@mosaic-federation/x509/EcdsaSignature"
import { Result } from "effect"
import type { SigningAlgorithm } from "../ProvisionerKey.ts"

/** RFC 7518 §3.1, RFC 8037 §3.1: what each algorithm signs with, of which key, and how long R and S are. */
const kinds = {
  ES256: { keyType: "ec", curve: "prime256v1", digest: "sha256", octets: 32 },
  ES384: { keyType: "ec", curve: "secp384r1", digest: "sha384", octets: 48 },
  EdDSA: { keyType: "ed25519", curve: undefined, digest: null, octets: undefined },
  RS256: { keyType: "rsa", curve: undefined, digest: "sha256", octets: undefined }
} as const

/** Node makes the details of a key anew at each look, which takes half as long as a signature. */
const curves = new WeakMap<KeyObject, string | undefined>()

const curveOf = (key: KeyObject): string | undefined => {
  if (!curves.has(key)) curves.set(key, key.asymmetricKeyDetails?.namedCurve)
  return curves.get(key)
}

const signatureOf = (input: Buffer, algorithm: SigningAlgorithm, key: KeyObject): Uint8Array => {
  if (algorithm === "HS256") return createHmac("sha256", key).update(input).digest()
  const { curve, digest, keyType, octets } = kinds[algorithm]
  if (key.asymmetricKeyType !== keyType || curveOf(key) !== curve) {
    throw new TypeError(`the key is not one of ${algorithm}`)
  }
  const signature = sign(digest, input, key)
  // Node would put R and S side by side itself, but to be told so with the key takes it as long again as to sign.
  return octets === undefined ? signature : Result.getOrThrow(concatenated(signature, octets))
}

const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** Throws where the key does not sign with the algorithm of the header. */
export const compactJws = (
  header: { readonly alg: SigningAlgorithm; readonly [parameter: string]: unknown },
  claims: { readonly [claim: string]: unknown },
  key: KeyObject
): string => {
  const input = `${encoded(header)}.${encoded(claims)}`
  const signature = signatureOf(Buffer.from(input), header.alg, key)
  return `${input}.${Buffer.from(signature).toString("base64url")}`
}
