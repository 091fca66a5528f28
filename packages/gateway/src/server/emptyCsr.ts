/** A certification request (RFC 2986) without any name: all that the gateway's own certificate says comes from its token. */
import { type KeyObject, sign } from "node:crypto"

/** X.690 §8.1.3 and §10.1: the definite form in the fewest octets; a request of this kind has less than 256. */
const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  return Buffer.concat([Buffer.from(length < 0x80 ? [tag, length] : [tag, 0x81, length]), content])
}

const sequence = 0x30
const version0 = Buffer.of(0x02, 0x01, 0x00)
/** [0] attributes, none (RFC 2986 §4.1). */
const noAttributes = Buffer.of(0xa0, 0x00)
/** ecdsa-with-SHA256 (RFC 5758 §3.2). */
const ecdsaWithSha256 = Buffer.from("300a06082a8648ce3d040302", "hex")

/** `key` is of P-256. PEM (RFC 7468 §7). */
export const emptyCsr = (key: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }): string => {
  const spki = key.publicKey.export({ format: "der", type: "spki" })
  const info = der(sequence, version0, der(sequence), spki, noAttributes)
  const signature = der(0x03, Buffer.of(0x00), sign("sha256", info, key.privateKey))
  const base64 = der(sequence, info, ecdsaWithSha256, signature).toString("base64")
  const lines = base64.match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join("\n")}\n-----END CERTIFICATE REQUEST-----\n`
}
