/** A key and a CSR with an empty subject, for the operator who is the peer as well: names are the CA's to write. */
import "reflect-metadata"
import { createPrivateKey, webcrypto } from "node:crypto"
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509"
import { Effect, Redacted } from "effect"
import type { KeyType } from "./KeyType.ts"

const algorithms = {
  p256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  p384: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  ed25519: { name: "Ed25519" },
  rsa3072: {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    publicExponent: Uint8Array.of(1, 0, 1),
    modulusLength: 3072
  }
} as const

export interface PeerKey {
  /** PKCS#8 in PEM (RFC 7468 §10). */
  readonly privateKeyPem: Redacted.Redacted
  /** PKCS#10 in PEM (RFC 7468 §7). */
  readonly csrPem: string
}

export const makePeerKey = (type: KeyType): Effect.Effect<PeerKey> =>
  Effect.promise(async () => {
    const signingAlgorithm = algorithms[type]
    const keys = (await webcrypto.subtle.generateKey(signingAlgorithm, true, [
      "sign",
      "verify"
    ])) as webcrypto.CryptoKeyPair
    const csr = await Pkcs10CertificateRequestGenerator.create({ name: "", keys, signingAlgorithm })
    const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey))
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" })
    return {
      privateKeyPem: Redacted.make(key.export({ format: "pem", type: "pkcs8" }) as string),
      csrPem: `${csr.toString("pem")}\n`
    }
  })
