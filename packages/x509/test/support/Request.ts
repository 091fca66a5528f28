/** Certification requests (RFC 2986), right ones and each kind of wrong one, with keys that are made on the spot. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { bitString, element, extension, generalNames, integer, nothing, oid, sequence, set } from "./Der.ts"

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

interface Signer {
  readonly digest: "sha256" | "sha384" | "sha1" | null
  readonly algorithm: Uint8Array
}

export const signers = {
  ecdsaSha256: { digest: "sha256", algorithm: sequence(oid("1.2.840.10045.4.3.2")) },
  ecdsaSha384: { digest: "sha384", algorithm: sequence(oid("1.2.840.10045.4.3.3")) },
  ecdsaSha1: { digest: "sha1", algorithm: sequence(oid("1.2.840.10045.4.1")) },
  ed25519: { digest: null, algorithm: sequence(oid("1.3.101.112")) },
  ed448: { digest: null, algorithm: sequence(oid("1.3.101.113")) },
  rsaSha256: { digest: "sha256", algorithm: sequence(oid("1.2.840.113549.1.1.11"), nothing) },
  dsaSha256: { digest: "sha256", algorithm: sequence(oid("2.16.840.1.101.3.4.3.2")) }
} as const satisfies { readonly [name: string]: Signer }

export const makeEd25519 = (): KeyPair => generateKeyPairSync("ed25519")

export const spkiOf = (key: KeyObject) => new Uint8Array(key.export({ format: "der", type: "spki" }))

export interface RequestParts {
  readonly keys: KeyPair
  readonly signer: Signer
  readonly version: bigint
  readonly subject: Uint8Array
  readonly spki: Uint8Array
  /** Each a whole Attribute; undefined leaves the field out, which RFC 2986 does not allow and some tools do. */
  readonly attributes: ReadonlyArray<Uint8Array> | undefined
}

export const emptySubject = sequence()

/** RFC 2985 §5.4.2 */
export const extensionRequest = (...extensions: ReadonlyArray<Uint8Array>) =>
  sequence(oid("1.2.840.113549.1.9.14"), set(sequence(...extensions)))

export const subjectAltName = (...names: ReadonlyArray<readonly [number, string]>) =>
  extension("2.5.29.17", generalNames(...names))

export const requestInfo = ({ attributes, spki, subject, version }: Omit<RequestParts, "keys" | "signer">) =>
  sequence(
    integer(version),
    subject,
    spki,
    ...(attributes === undefined ? [] : [element(0xa0, ...attributes)])
  )

/** The DER; by default with a fresh Ed25519 key, an empty subject and no attributes. */
export const makeRequest = (parts: Partial<RequestParts> = {}): Uint8Array => {
  const { keys = makeEd25519(), signer = signers.ed25519 } = parts
  const info = requestInfo({
    version: parts.version ?? 0n,
    subject: parts.subject ?? emptySubject,
    spki: parts.spki ?? spkiOf(keys.publicKey),
    attributes: "attributes" in parts ? parts.attributes : []
  })
  return sequence(info, signer.algorithm, bitString(sign(signer.digest, info, keys.privateKey)))
}

export const pem = (der: Uint8Array, label = "CERTIFICATE REQUEST") =>
  `-----BEGIN ${label}-----\n${Buffer.from(der)
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n")}\n-----END ${label}-----\n`
