/** A certification request (RFC 2986) without any name: all that a certificate of ours says is the CA's to write. */
import { type KeyObject, sign } from "node:crypto"
import { formatPem } from "@mosaic-federation/x509/Pem"

/** X.690 §8.1.3 and §10.1: the definite form in the fewest octets; a request of this kind has less than 65,536. */
const lengthOf = (length: number): ReadonlyArray<number> => {
  if (length < 0x80) return [length]
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
}

const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content])
}

const sequence = 0x30
const version0 = Buffer.of(0x02, 0x01, 0x00)
/** [0] attributes, none (RFC 2986 §4.1). */
const noAttributes = Buffer.of(0xa0, 0x00)

interface Signing {
  readonly digest: "sha256" | "sha384" | null
  /** An AlgorithmIdentifier. */
  readonly algorithm: Buffer
}

/** RFC 5758 §3.2, RFC 8410 §3 and RFC 8017 appendix A.2.4. */
const signings = {
  ecdsaWithSha256: { digest: "sha256", algorithm: Buffer.from("300a06082a8648ce3d040302", "hex") },
  ecdsaWithSha384: { digest: "sha384", algorithm: Buffer.from("300a06082a8648ce3d040303", "hex") },
  ed25519: { digest: null, algorithm: Buffer.from("300506032b6570", "hex") },
  rsaWithSha256: { digest: "sha256", algorithm: Buffer.from("300d06092a864886f70d01010b0500", "hex") }
} as const satisfies Readonly<Record<string, Signing>>

const signingOf = ({ asymmetricKeyDetails, asymmetricKeyType }: KeyObject): Signing => {
  if (asymmetricKeyType === "ed25519") return signings.ed25519
  if (asymmetricKeyType === "rsa") return signings.rsaWithSha256
  return asymmetricKeyDetails?.namedCurve === "secp384r1"
    ? signings.ecdsaWithSha384
    : signings.ecdsaWithSha256
}

/** For P-256, P-384, Ed25519 and RSA. PEM (RFC 7468 §7). */
export const emptyCsr = (key: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }): string => {
  const spki = key.publicKey.export({ format: "der", type: "spki" })
  const info = der(sequence, version0, der(sequence), spki, noAttributes)
  const { algorithm, digest } = signingOf(key.privateKey)
  const signature = der(0x03, Buffer.of(0x00), sign(digest, info, key.privateKey))
  return formatPem("CERTIFICATE REQUEST", der(sequence, info, algorithm, signature))
}
