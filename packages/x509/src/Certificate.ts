/** An X.509 certificate (RFC 5280 §4.1), decoded as far as inspection and conformance need it. It judges nothing. */
import { hash } from "node:crypto"
import { Result } from "effect"
import type { Extension } from "./GrantExtension.ts"
import { bufferOver } from "./internal/bufferOver.ts"
import {
  attempt,
  DerError,
  type DerElement,
  type DerFault,
  expectChildren,
  expectTag,
  readBitString,
  readBoolean,
  readElement,
  readInteger,
  readOid,
  readTime,
  readWhole,
  Tag
} from "./internal/der.ts"
import { readExtensions } from "./internal/readExtensions.ts"
import { readAlternativeNames, readName } from "./internal/readNames.ts"
import { readAlgorithm, readSignature } from "./internal/readSigned.ts"
import type { AlternativeName, Name } from "./Name.ts"
import { Oid } from "./Oid.ts"
import { formatPem, looksLikePem, parsePem } from "./Pem.ts"
import { type PublicKey, readPublicKey } from "./PublicKey.ts"

export interface SignatureAlgorithm {
  readonly oid: string
  /** The whole AlgorithmIdentifier, parameters included. */
  readonly der: Uint8Array
}

export interface BasicConstraints {
  readonly ca: boolean
  readonly pathLength: number | undefined
}

export interface Certificate {
  readonly der: Uint8Array
  /** One PEM block in lines of 64 characters. */
  readonly pem: string
  /** Lower-case hex SHA-256 of the DER. */
  readonly fingerprintSha256: string
  /** 1, 2 or 3. */
  readonly version: number
  /** In decimal; negative where the CA broke RFC 5280 §4.1.2.2. */
  readonly serial: string
  readonly issuer: Name
  readonly subject: Name
  readonly notBefore: Date
  readonly notAfter: Date
  readonly publicKey: PublicKey
  readonly extensions: ReadonlyArray<Extension>
  /** As stated outside and inside of what is signed; RFC 5280 §4.1.1.2 wants both alike. */
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly tbsSignatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  /** The DER of tbsCertificate: what the signature covers. */
  readonly tbs: Uint8Array
}

export interface CertificateFault {
  readonly message: string
}

/** A leaf of ours has about 640 octets; a generous CA certificate a few thousand. */
const mostOctets = 64 * 1024

const readVersion = (element: DerElement | undefined): number => {
  if (element?.tag !== 0xa0) return 1
  const [number] = expectChildren(element, 0xa0, "version")
  return Number(readInteger(number, "version")) + 1
}

const readKey = (element: DerElement | undefined): PublicKey => {
  const { offset, raw } = expectTag(element, Tag.sequence, "subjectPublicKeyInfo")
  const key = readPublicKey(raw)
  if (Result.isSuccess(key)) return key.success
  const fault = key.failure
  throw new DerError(
    offset,
    fault._tag === "NotAKey" ? fault.message : `subjectPublicKeyInfo: ${fault.description} cannot be read`
  )
}

/** RFC 5280 §4.1: [1] and [2] are unique identifiers, [3] the extensions. */
const optionalMembers = [0x81, 0x82, 0xa3]

const findExtensions = (members: ReadonlyArray<DerElement>): DerElement | undefined => {
  const inOrder = optionalMembers.filter((known) => members.some(({ tag }) => tag === known))
  if (inOrder.length !== members.length || members.some(({ tag }, index) => tag !== inOrder[index]))
    throw new DerError(0, "tbsCertificate: members that are unknown, twice or out of order")
  const last = members.at(-1)
  if (last?.tag !== 0xa3) return undefined
  const [extensions, ...more] = expectChildren(last, 0xa3, "extensions")
  if (more.length > 0) throw new DerError(last.offset, "extensions: more than one member")
  return extensions
}

const readCertificate = (der: Uint8Array, pem: string): Certificate => {
  if (der.length > mostOctets) throw new DerError(0, `larger than ${mostOctets} octets`)
  const outer = expectChildren(readWhole(der, Tag.sequence), Tag.sequence, "Certificate")
  if (outer.length !== 3) throw new DerError(0, `Certificate: ${outer.length} of 3 members`)
  const [tbs, algorithm, signature] = outer
  const members = expectChildren(tbs, Tag.sequence, "tbsCertificate")
  const version = readVersion(members[0])
  const from = members[0]?.tag === 0xa0 ? 1 : 0
  const validity = expectChildren(members[from + 3], Tag.sequence, "validity")
  if (validity.length > 2) throw new DerError(0, `validity: ${validity.length} of 2 members`)
  const publicKey = readKey(members[from + 5])
  const extensions = findExtensions(members.slice(from + 6))
  return {
    der,
    pem,
    fingerprintSha256: hash("sha256", der, "hex"),
    version,
    serial: readInteger(members[from], "serialNumber").toString(),
    issuer: readName(members[from + 2], "issuer"),
    subject: readName(members[from + 4], "subject"),
    notBefore: readTime(validity[0], "notBefore"),
    notAfter: readTime(validity[1], "notAfter"),
    publicKey,
    extensions: extensions === undefined ? [] : readExtensions(extensions),
    signatureAlgorithm: readAlgorithm(algorithm, "signatureAlgorithm"),
    tbsSignatureAlgorithm: readAlgorithm(members[from + 1], "signature"),
    signature: readSignature(signature, "signatureValue"),
    tbs: tbs?.raw ?? der
  }
}

const withoutOffset = ({ message }: DerFault): CertificateFault => ({ message })

/** One certificate or several, leaf first as they stand: PEM blocks CERTIFICATE and nothing else, or one in DER. */
export const parseCertificates = (
  input: string | Uint8Array
): Result.Result<ReadonlyArray<Certificate>, CertificateFault> => {
  const text = typeof input === "string" ? input : bufferOver(input).toString("latin1")
  if (!looksLikePem(text)) {
    if (typeof input === "string") return Result.fail({ message: "there is no PEM block" })
    return Result.mapError(
      attempt(() => [readCertificate(input, formatPem("CERTIFICATE", input))]),
      withoutOffset
    )
  }
  const blocks = parsePem(text)
  if (Result.isFailure(blocks)) return Result.fail({ message: blocks.failure })
  return Result.mapError(
    attempt(() =>
      blocks.success.map(({ der, label, pem }) => {
        if (label !== "CERTIFICATE") throw new DerError(0, `a PEM block ${label} among the certificates`)
        return readCertificate(der, pem)
      })
    ),
    withoutOffset
  )
}

/** Exactly one certificate, in PEM or DER. */
export const parseCertificate = (input: string | Uint8Array): Result.Result<Certificate, CertificateFault> =>
  Result.flatMap(parseCertificates(input), ([first, ...more]) =>
    first === undefined || more.length > 0
      ? Result.fail({ message: `expected one certificate, found ${more.length + 1}` })
      : Result.succeed(first)
  )

const valueOf = (certificate: Certificate, oid: string) =>
  certificate.extensions.find((extension) => extension.oid === oid)?.value

/** The value of an extension, which is one element; its faults say of which extension. */
const readValue = (value: Uint8Array, tag: number, what: string): DerElement => {
  const element = attempt(() => readWhole(value, tag))
  if (Result.isSuccess(element)) return element.success
  throw new DerError(element.failure.offset, `${what}: ${element.failure.message}`)
}

/** Absent: none. */
export const alternativeNames = (
  certificate: Certificate
): Result.Result<ReadonlyArray<AlternativeName>, DerFault> => {
  const value = valueOf(certificate, Oid.subjectAltName)
  return value === undefined ? Result.succeed([]) : attempt(() => readAlternativeNames(value))
}

/** The purposes as object identifiers; absent: none. */
export const extendedKeyUsage = (
  certificate: Certificate
): Result.Result<ReadonlyArray<string>, DerFault> => {
  const what = "extendedKeyUsage"
  const value = valueOf(certificate, Oid.extendedKeyUsage)
  if (value === undefined) return Result.succeed([])
  return attempt(() =>
    expectChildren(readValue(value, Tag.sequence, what), Tag.sequence, what).map((purpose) =>
      readOid(purpose, what)
    )
  )
}

/** RFC 5280 §4.2.1.3, by bit number. */
const keyUsageNames = [
  "digitalSignature",
  "contentCommitment",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly"
]

const readKeyUsage = (value: Uint8Array): ReadonlyArray<string> => {
  const { bytes, unusedBits } = readBitString(readValue(value, Tag.bitString, "keyUsage"), "keyUsage")
  const names: Array<string> = []
  for (let bit = 0; bit < bytes.length * 8 - unusedBits; bit += 1)
    if (((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0) names.push(keyUsageNames[bit] ?? `bit ${bit}`)
  return names
}

/** The names of the bits that are set; undefined where the extension is absent. */
export const keyUsage = (
  certificate: Certificate
): Result.Result<ReadonlyArray<string> | undefined, DerFault> => {
  const value = valueOf(certificate, Oid.keyUsage)
  return value === undefined ? Result.succeed(undefined) : attempt(() => readKeyUsage(value))
}

const readBasicConstraints = (value: Uint8Array): BasicConstraints => {
  const sequence = readValue(value, Tag.sequence, "basicConstraints")
  const [first, second] = expectChildren(sequence, Tag.sequence, "basicConstraints")
  const stated = first?.tag === Tag.boolean
  const ca = stated && readBoolean(first, "cA")
  const length = stated ? second : first
  return {
    ca,
    pathLength: length === undefined ? undefined : Number(readInteger(length, "pathLenConstraint"))
  }
}

/** Undefined where the extension is absent. */
export const basicConstraints = (
  certificate: Certificate
): Result.Result<BasicConstraints | undefined, DerFault> => {
  const value = valueOf(certificate, Oid.basicConstraints)
  return value === undefined ? Result.succeed(undefined) : attempt(() => readBasicConstraints(value))
}

const octets = (element: DerElement) => bufferOver(element.contents).toString("hex")

/** Lower-case hex, for people; undefined where it is absent or cannot be read. */
export const subjectKeyIdentifier = (certificate: Certificate): string | undefined => {
  const value = valueOf(certificate, Oid.subjectKeyIdentifier)
  if (value === undefined) return undefined
  return Result.getOrUndefined(attempt(() => octets(readWhole(value, Tag.octetString))))
}

/** The keyIdentifier in lower-case hex, for people; undefined where it is absent or cannot be read. */
export const authorityKeyIdentifier = (certificate: Certificate): string | undefined => {
  const value = valueOf(certificate, Oid.authorityKeyIdentifier)
  if (value === undefined) return undefined
  const first = Result.getOrUndefined(attempt(() => readElement(readElement(value).contents)))
  return first?.tag === 0x80 ? octets(first) : undefined
}
