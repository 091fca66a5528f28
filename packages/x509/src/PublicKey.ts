/** Public keys as certificates and requests carry them: named for people, and held to the key policy. */
import { type AsymmetricKeyDetails, createPublicKey, type KeyObject } from "node:crypto"
import { Result } from "effect"
import { LRUCache } from "lru-cache"
import { bufferOver } from "./internal/bufferOver.ts"
import { attempt, type DerElement, expectChildren, readOid, readWhole, Tag } from "./internal/der.ts"
import { formatPem } from "./Pem.ts"

export interface PublicKey {
  /** The DER of SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). */
  readonly spki: Uint8Array
  /** Such as `EC P-256`, `RSA 2048`, `Ed25519`. */
  readonly description: string
  readonly allowed: boolean
  readonly key: KeyObject
}

/** What a person reads in a refusal, and `isAllowed` decides. */
export const allowedKeys = "EC P-256, EC P-384, Ed25519, RSA of 2048 to 8192 bits"

/** The names that OpenSSL gives to curves whose usual name is another one. */
const curveNames: { readonly [name: string]: string } = {
  prime256v1: "P-256",
  secp384r1: "P-384",
  secp521r1: "P-521"
}

/** RFC 5480 §2.1.1.1, under the names that OpenSSL gives them. */
const namedCurves: { readonly [oid: string]: string } = {
  "1.2.840.10045.3.1.7": "prime256v1",
  "1.3.132.0.34": "secp384r1",
  "1.3.132.0.35": "secp521r1"
}

/** Algorithms that this OpenSSL may not import but that a refusal can name. */
const algorithmNames: { readonly [oid: string]: string } = {
  "1.2.840.10040.4.1": "DSA",
  "1.2.840.10045.2.1": "EC",
  "1.2.840.10046.2.1": "X9.42 DH",
  "1.2.840.113549.1.1.1": "RSA",
  "1.2.840.113549.1.1.7": "RSA-OAEP",
  "1.2.840.113549.1.1.10": "RSA-PSS",
  "1.3.101.110": "X25519",
  "1.3.101.111": "X448",
  "1.3.101.112": "Ed25519",
  "1.3.101.113": "Ed448",
  "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
  "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
  "2.16.840.1.101.3.4.3.19": "ML-DSA-87"
}

/** Node makes the details anew at each look, which takes longer than most checks here, and a named curve needs none. */
const detailsOf = (key: KeyObject, parameters: DerElement | undefined): AsymmetricKeyDetails | undefined => {
  const named = key.asymmetricKeyType === "ec" && parameters?.tag === Tag.objectIdentifier
  const oid = named ? Result.getOrUndefined(attempt(() => readOid(parameters, "namedCurve"))) : undefined
  const namedCurve = oid === undefined ? undefined : namedCurves[oid]
  return namedCurve === undefined ? key.asymmetricKeyDetails : { namedCurve }
}

const describe = (key: KeyObject, details: AsymmetricKeyDetails | undefined, algorithm: string): string => {
  switch (key.asymmetricKeyType) {
    case "ec": {
      const curve = details?.namedCurve ?? "of a curve without a name"
      return `EC ${curveNames[curve] ?? curve}`
    }
    case "rsa":
      return `RSA ${details?.modulusLength ?? 0}`
    case "rsa-pss":
      return `RSA-PSS ${details?.modulusLength ?? 0}`
    case "dsa":
      return `DSA ${details?.modulusLength ?? 0}`
    default:
      return algorithmNames[algorithm] ?? `a key of algorithm ${algorithm}`
  }
}

/** FIPS 186-5 §5.4: an odd public exponent of at least 2^16 + 1. */
const saneExponent = (exponent: bigint | undefined) =>
  exponent !== undefined && exponent >= 65_537n && exponent % 2n === 1n

const isAllowed = (key: KeyObject, details: AsymmetricKeyDetails | undefined): boolean => {
  switch (key.asymmetricKeyType) {
    case "ec":
      return details?.namedCurve === "prime256v1" || details?.namedCurve === "secp384r1"
    case "ed25519":
      return true
    case "rsa": {
      const bits = details?.modulusLength ?? 0
      return bits >= 2048 && bits <= 8192 && saneExponent(details?.publicExponent)
    }
    default:
      return false
  }
}

/**
 * What of an EC key OpenSSL reads and others do not: RFC 5480 §2.1.1 has named curves only (OpenSSL gives a curve that is
 * spelled out its name back), and of the points of §2.2 step-ca reads the uncompressed form alone.
 */
const unusualForm = (
  key: KeyObject,
  parameters: DerElement | undefined,
  point: DerElement | undefined
): string | undefined => {
  if (key.asymmetricKeyType !== "ec") return undefined
  if (parameters?.tag !== Tag.objectIdentifier) return "with explicit parameters"
  return point?.contents[1] === 0x04 ? undefined : "with a compressed point"
}

export type PublicKeyFault =
  | { readonly _tag: "NotAKey"; readonly message: string }
  /** Its algorithm can be named, but the key cannot be imported. */
  | { readonly _tag: "Unknown"; readonly description: string }

/** 8192 bits take about 1,060 octets. */
const mostOctets = 2_100

interface KeyInfo {
  readonly algorithm: string
  readonly parameters: DerElement | undefined
  readonly bits: DerElement | undefined
}

const readKeyInfo = (spki: Uint8Array): KeyInfo => {
  const whole = readWhole(spki, Tag.sequence)
  const [identifier, bits] = expectChildren(whole, Tag.sequence, "subjectPublicKeyInfo")
  const [oid, parameters] = expectChildren(identifier, Tag.sequence, "algorithm")
  return { algorithm: readOid(oid, "algorithm"), parameters, bits }
}

const importPublicKey = (spki: Uint8Array): Result.Result<PublicKey, PublicKeyFault> => {
  const info = attempt(() => readKeyInfo(spki))
  if (Result.isFailure(info)) return Result.fail({ _tag: "NotAKey", message: info.failure.message })
  const { algorithm, bits, parameters } = info.success
  const name = algorithmNames[algorithm] ?? `a key of algorithm ${algorithm}`
  if (spki.length > mostOctets)
    return Result.fail({ _tag: "Unknown", description: `${name} of ${spki.length} octets` })
  // OpenSSL tries its decoders one after the other: from PEM, whose label says what it is, it takes half as long.
  const imported = Result.try(() => createPublicKey(formatPem("PUBLIC KEY", spki)))
  if (Result.isFailure(imported)) return Result.fail({ _tag: "Unknown", description: name })
  const key = imported.success
  const details = detailsOf(key, parameters)
  const exponent = details?.publicExponent
  const plain = describe(key, details, algorithm)
  const description =
    key.asymmetricKeyType === "rsa" && !saneExponent(exponent)
      ? `${plain} with exponent ${String(exponent)}`
      : plain
  const unusual = unusualForm(key, parameters, bits)
  return Result.succeed(
    unusual === undefined
      ? { spki, description, allowed: isAllowed(key, details), key }
      : { spki, description: `${description} ${unusual}`, allowed: false, key }
  )
}

/**
 * The key of a request comes back in its certificate, and the CA's keys in every chain. What the octets mean does not
 * change, and to import a key takes longer than to verify with it.
 */
const recent = new LRUCache<string, Result.Result<PublicKey, PublicKeyFault>>({ max: 512 })

export const readPublicKey = (spki: Uint8Array): Result.Result<PublicKey, PublicKeyFault> => {
  const octets = bufferOver(spki).toString("latin1")
  const known = recent.get(octets)
  if (known !== undefined) return known
  const read = importPublicKey(new Uint8Array(spki))
  recent.set(octets, read)
  return read
}
