/** An X.509 certificate (RFC 5280 §4.1), decoded as far as inspection and conformance need it. It judges nothing. */
import { createHash } from "node:crypto"
import { Result } from "effect"
import {
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
} from "./DerReader.ts"
import type { Extension } from "./GrantExtension.ts"
import { type AlternativeName, type Name, readAlternativeNames, readName } from "./Name.ts"
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

const mostExtensions = 64

/** Extensions ::= SEQUENCE OF SEQUENCE { extnID, critical DEFAULT FALSE, extnValue OCTET STRING } */
export const readExtensions = (element: DerElement): Result.Result<ReadonlyArray<Extension>, DerFault> =>
  Result.gen(function* () {
    const extensions: Array<Extension> = []
    for (const child of yield* expectChildren(element, Tag.sequence, "extensions")) {
      const parts = yield* expectChildren(child, Tag.sequence, "extension")
      const oid = yield* readOid(parts[0], "extnID")
      const stated = parts.length === 3
      const critical = stated ? yield* readBoolean(parts[1], "critical") : false
      // X.690 §11.5: a value equal to its default is not encoded.
      if (stated && !critical)
        return yield* Result.fail({
          offset: child.offset,
          message: `extension ${oid}: critical FALSE is encoded`
        })
      const value = yield* expectTag(parts[stated ? 2 : 1], Tag.octetString, `extension ${oid}: extnValue`)
      if (parts.length > 3)
        return yield* Result.fail({ offset: child.offset, message: `extension ${oid}: too many members` })
      extensions.push({ oid, critical, value: value.contents })
      if (extensions.length > mostExtensions)
        return yield* Result.fail({ offset: child.offset, message: `more than ${mostExtensions} extensions` })
    }
    return extensions
  })

export const readAlgorithm = (
  element: DerElement | undefined,
  what: string
): Result.Result<SignatureAlgorithm, DerFault> =>
  Result.gen(function* () {
    const sequence = yield* expectTag(element, Tag.sequence, what)
    const [oid] = yield* expectChildren(sequence, Tag.sequence, what)
    return { oid: yield* readOid(oid, what), der: sequence.raw }
  })

/** A signature is a whole number of octets in each algorithm of ours; anything else would be a second spelling of it. */
export const readSignature = (
  element: DerElement | undefined,
  what: string
): Result.Result<Uint8Array, DerFault> =>
  Result.flatMap(readBitString(element, what), ({ bytes, unusedBits }) =>
    unusedBits === 0
      ? Result.succeed(bytes)
      : Result.fail({ offset: element?.offset ?? 0, message: `${what}: unused bits` })
  )

const readVersion = (element: DerElement | undefined): Result.Result<number, DerFault> =>
  element?.tag === 0xa0
    ? Result.gen(function* () {
        const [number] = yield* expectChildren(element, 0xa0, "version")
        return Number(yield* readInteger(number, "version")) + 1
      })
    : Result.succeed(1)

const readDer = (der: Uint8Array): Result.Result<Certificate, CertificateFault> =>
  Result.gen(function* () {
    if (der.length > mostOctets) return yield* Result.fail({ message: `larger than ${mostOctets} octets` })
    const certificate = yield* readWhole(der, Tag.sequence)
    const outer = yield* expectChildren(certificate, Tag.sequence, "Certificate")
    if (outer.length !== 3)
      return yield* Result.fail({ message: `Certificate: ${outer.length} of 3 members` })
    const [tbs, algorithm, signature] = outer
    const members = yield* expectChildren(tbs, Tag.sequence, "tbsCertificate")
    const version = yield* readVersion(members[0])
    const from = members[0]?.tag === 0xa0 ? 1 : 0
    const [serial, tbsAlgorithm, issuer, validity, subject, spki, ...rest] = members.slice(from)
    const [notBefore, notAfter, ...later] = yield* expectChildren(validity, Tag.sequence, "validity")
    if (later.length > 0) return yield* Result.fail({ message: `validity: ${later.length + 2} of 2 members` })
    const key = yield* expectTag(spki, Tag.sequence, "subjectPublicKeyInfo")
    const publicKey = yield* Result.mapError(readPublicKey(key.raw), (fault) => ({
      message:
        fault._tag === "NotAKey" ? fault.message : `subjectPublicKeyInfo: ${fault.description} cannot be read`
    }))
    // RFC 5280 §4.1: [1] and [2] are unique identifiers, [3] the extensions.
    const inOrder = [0x81, 0x82, 0xa3].filter((known) => rest.some(({ tag }) => tag === known))
    if (inOrder.join() !== rest.map(({ tag }) => tag).join())
      return yield* Result.fail({
        message: "tbsCertificate: members that are unknown, twice or out of order"
      })
    const extensionsMember = rest.find(({ tag }) => tag === 0xa3)
    const [extensions, ...more] =
      extensionsMember === undefined ? [] : yield* expectChildren(extensionsMember, 0xa3, "extensions")
    if (more.length > 0) return yield* Result.fail({ message: "extensions: more than one member" })
    return {
      der,
      pem: formatPem("CERTIFICATE", der),
      fingerprintSha256: createHash("sha256").update(der).digest("hex"),
      version,
      serial: (yield* readInteger(serial, "serialNumber")).toString(),
      issuer: yield* readName(issuer, "issuer"),
      subject: yield* readName(subject, "subject"),
      notBefore: yield* readTime(notBefore, "notBefore"),
      notAfter: yield* readTime(notAfter, "notAfter"),
      publicKey,
      extensions: extensions === undefined ? [] : yield* readExtensions(extensions),
      signatureAlgorithm: yield* readAlgorithm(algorithm, "signatureAlgorithm"),
      tbsSignatureAlgorithm: yield* readAlgorithm(tbsAlgorithm, "signature"),
      signature: yield* readSignature(signature, "signatureValue"),
      tbs: tbs?.raw ?? der
    } satisfies Certificate
  })

/** One certificate or several, leaf first as they stand: PEM blocks CERTIFICATE and nothing else, or one in DER. */
export const parseCertificates = (
  input: string | Uint8Array
): Result.Result<ReadonlyArray<Certificate>, CertificateFault> => {
  const text = typeof input === "string" ? input : Buffer.from(input).toString("latin1")
  if (!looksLikePem(text)) {
    if (typeof input === "string") return Result.fail({ message: "there is no PEM block" })
    return Result.map(readDer(input), (certificate) => [certificate])
  }
  return Result.gen(function* () {
    const blocks = yield* Result.mapError(parsePem(text), (message) => ({ message }))
    const certificates: Array<Certificate> = []
    for (const { der, label } of blocks) {
      if (label !== "CERTIFICATE")
        return yield* Result.fail({ message: `a PEM block ${label} among the certificates` })
      certificates.push(yield* readDer(der))
    }
    return certificates
  })
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

const wholeValue = (value: Uint8Array, tag: number, what: string) =>
  Result.mapError(readWhole(value, tag), ({ offset, message }) => ({
    offset,
    message: `${what}: ${message}`
  }))

/** Absent: none. */
export const alternativeNames = (
  certificate: Certificate
): Result.Result<ReadonlyArray<AlternativeName>, DerFault> => {
  const value = valueOf(certificate, Oid.subjectAltName)
  return value === undefined ? Result.succeed([]) : readAlternativeNames(value)
}

/** The purposes as object identifiers; absent: none. */
export const extendedKeyUsage = (
  certificate: Certificate
): Result.Result<ReadonlyArray<string>, DerFault> => {
  const value = valueOf(certificate, Oid.extendedKeyUsage)
  if (value === undefined) return Result.succeed([])
  return Result.gen(function* () {
    const purposes: Array<string> = []
    const sequence = yield* wholeValue(value, Tag.sequence, "extendedKeyUsage")
    for (const purpose of yield* expectChildren(sequence, Tag.sequence, "extendedKeyUsage")) {
      purposes.push(yield* readOid(purpose, "extendedKeyUsage"))
    }
    return purposes
  })
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

/** The names of the bits that are set; undefined where the extension is absent. */
export const keyUsage = (
  certificate: Certificate
): Result.Result<ReadonlyArray<string> | undefined, DerFault> => {
  const value = valueOf(certificate, Oid.keyUsage)
  if (value === undefined) return Result.succeed(undefined)
  return Result.gen(function* () {
    const bits = yield* readBitString(yield* wholeValue(value, Tag.bitString, "keyUsage"), "keyUsage")
    return Array.from({ length: bits.bytes.length * 8 - bits.unusedBits }, (_, bit) => bit)
      .filter((bit) => ((bits.bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0)
      .map((bit) => keyUsageNames[bit] ?? `bit ${bit}`)
  })
}

/** Undefined where the extension is absent. */
export const basicConstraints = (
  certificate: Certificate
): Result.Result<BasicConstraints | undefined, DerFault> => {
  const value = valueOf(certificate, Oid.basicConstraints)
  if (value === undefined) return Result.succeed(undefined)
  return Result.gen(function* () {
    const sequence = yield* wholeValue(value, Tag.sequence, "basicConstraints")
    const members = yield* expectChildren(sequence, Tag.sequence, "basicConstraints")
    const ca = members[0]?.tag === Tag.boolean ? yield* readBoolean(members[0], "cA") : false
    const length = members[0]?.tag === Tag.boolean ? members[1] : members[0]
    return {
      ca,
      pathLength: length === undefined ? undefined : Number(yield* readInteger(length, "pathLenConstraint"))
    }
  })
}

const octets = (element: Uint8Array) => Buffer.from(element).toString("hex")

/** Lower-case hex, for people; undefined where it is absent or cannot be read. */
export const subjectKeyIdentifier = (certificate: Certificate): string | undefined => {
  const value = valueOf(certificate, Oid.subjectKeyIdentifier)
  const element = value === undefined ? undefined : Result.getOrUndefined(readWhole(value, Tag.octetString))
  return element === undefined ? undefined : octets(element.contents)
}

/** The keyIdentifier in lower-case hex, for people; undefined where it is absent or cannot be read. */
export const authorityKeyIdentifier = (certificate: Certificate): string | undefined => {
  const value = valueOf(certificate, Oid.authorityKeyIdentifier)
  const sequence = value === undefined ? undefined : Result.getOrUndefined(readElement(value))
  const first = sequence === undefined ? undefined : Result.getOrUndefined(readElement(sequence.contents))
  return first?.tag === 0x80 ? octets(first.contents) : undefined
}
