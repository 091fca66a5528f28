/**
 * Certification requests (RFC 2986) of every kind, the refused ones too, with a fresh key each. Node's crypto makes key
 * and signature; the frame around them is written here, apart from the reader that it tests. No program is needed.
 */
import { generateKeyPair, sign } from "node:crypto"
import { promisify } from "node:util"
import "reflect-metadata"
import * as x509 from "@peculiar/x509"
import { Effect } from "effect"

const generate = promisify(generateKeyPair)

const ec = (namedCurve: string) => () => generate("ec", { namedCurve })
const rsa = (modulusLength: number) => () => generate("rsa", { modulusLength })

/** OIDs of RFC 5758 §3.2, RFC 8410 §3 and RFC 8017 appendix A.2.4. */
const ecdsaSha256 = "06082A8648CE3D040302"
const ecdsaSha384 = "06082A8648CE3D040303"
const rsaSha256 = "06092A864886F70D01010B0500"

/** How a key is made, and its signature's digest and AlgorithmIdentifier contents; the first four kinds are accepted. */
const kinds = {
  "P-256": { make: ec("P-256"), digest: "sha256", algorithm: ecdsaSha256 },
  "P-384": { make: ec("P-384"), digest: "sha384", algorithm: ecdsaSha384 },
  Ed25519: { make: () => generate("ed25519"), digest: null, algorithm: "06032B6570" },
  "RSA 2048": { make: rsa(2048), digest: "sha256", algorithm: rsaSha256 },
  "RSA 3072": { make: rsa(3072), digest: "sha256", algorithm: rsaSha256 },
  "RSA 1024": { make: rsa(1024), digest: "sha256", algorithm: rsaSha256 },
  "P-521": { make: ec("P-521"), digest: "sha384", algorithm: ecdsaSha384 },
  secp256k1: { make: ec("secp256k1"), digest: "sha256", algorithm: ecdsaSha256 },
  Ed448: { make: () => generate("ed448"), digest: null, algorithm: "06032B6571" }
} as const

export type CsrKind = keyof typeof kinds

export interface CsrOptions {
  /** Without it the subject is empty. */
  readonly commonName?: string
  readonly uris?: ReadonlyArray<string>
  readonly dnsNames?: ReadonlyArray<string>
  /** Asks for CA:TRUE and keyCertSign as well. */
  readonly asCa?: boolean
}

export interface Csr {
  readonly pem: string
  /** PKCS#8. */
  readonly privateKeyPem: string
}

/** X.690 §8.1.3: one element in the definite form. */
const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  const octets = content.length.toString(16)
  const length =
    content.length < 0x80
      ? Buffer.of(content.length)
      : Buffer.from(octets.length % 2 === 0 ? octets : `0${octets}`, "hex")
  const form = content.length < 0x80 ? Buffer.alloc(0) : Buffer.of(0x80 + length.length)
  return Buffer.concat([Buffer.of(tag), form, length, content])
}

const sequence = (...parts: ReadonlyArray<Uint8Array>) => der(0x30, ...parts)
const set = (...parts: ReadonlyArray<Uint8Array>) => der(0x31, ...parts)
const hex = (text: string) => Buffer.from(text, "hex")

/** RFC 5280 §4.1.2.4: RDNSequence with one commonName (2.5.4.3), or none. */
const name = (commonName: string | undefined) =>
  commonName === undefined
    ? sequence()
    : sequence(set(sequence(hex("0603550403"), der(0x0c, Buffer.from(commonName)))))

const requested = ({ asCa = false, dnsNames = [], uris = [] }: CsrOptions): ReadonlyArray<x509.Extension> => {
  const names = [
    ...uris.map((value) => ({ type: "url", value }) as const),
    ...dnsNames.map((value) => ({ type: "dns", value }) as const)
  ]
  return [
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ...(asCa
      ? [
          new x509.BasicConstraintsExtension(true, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign)
        ]
      : [])
  ]
}

/** RFC 2986 §4.1: [0] attributes, here at most one extensionRequest (RFC 2985 §5.4.2). */
const attributes = (extensions: ReadonlyArray<x509.Extension>) =>
  extensions.length === 0
    ? der(0xa0)
    : der(
        0xa0,
        sequence(
          hex("06092A864886F70D01090E"),
          set(sequence(...extensions.map(({ rawData }) => new Uint8Array(rawData))))
        )
      )

const pem = (bytes: Uint8Array) => {
  const lines = Buffer.from(bytes)
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n")
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines}\n-----END CERTIFICATE REQUEST-----\n`
}

const make = async (kind: CsrKind, options: CsrOptions): Promise<Csr> => {
  const { algorithm, digest, make: makeKey } = kinds[kind]
  const { privateKey, publicKey } = await makeKey()
  const info = sequence(
    hex("020100"),
    name(options.commonName),
    publicKey.export({ format: "der", type: "spki" }),
    attributes(requested(options))
  )
  const signature = der(0x03, Buffer.of(0), sign(digest, info, privateKey))
  return {
    pem: pem(sequence(info, sequence(hex(algorithm)), signature)),
    privateKeyPem: privateKey.export({ format: "pem", type: "pkcs8" }).toString()
  }
}

export const makeCsr = (kind: CsrKind, options: CsrOptions = {}): Effect.Effect<Csr> =>
  Effect.promise(() => make(kind, options))
