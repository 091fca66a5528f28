/**
 * A PKCS#10 certification request (RFC 2986): parsed within a bound, its signature verified, its key held to the key
 * policy. What it asks for beyond its key is reported and otherwise ignored; only names that contradict the grant count.
 */
import { hash } from "node:crypto"
import { Result } from "effect"
import type { Extension } from "./GrantExtension.ts"
import { bufferOver } from "./internal/bufferOver.ts"
import {
  attempt,
  DerError,
  type DerElement,
  expectChildren,
  expectTag,
  readInteger,
  readOid,
  readWhole,
  Tag
} from "./internal/der.ts"
import { readExtensions } from "./internal/readExtensions.ts"
import { readAlternativeNames, readName } from "./internal/readNames.ts"
import { readAlgorithm, readSignature } from "./internal/readSigned.ts"
import { type AlternativeName, formatAlternativeNames, type Name } from "./Name.ts"
import { Oid, oidName } from "./Oid.ts"
import { formatPem, looksLikePem, parsePem } from "./Pem.ts"
import { allowedKeys, type PublicKey, readPublicKey } from "./PublicKey.ts"
import { verifySignature } from "./Signature.ts"

export type CsrFault =
  | { readonly _tag: "TooLarge"; readonly size: number; readonly most: number }
  | { readonly _tag: "Malformed"; readonly problem: string }
  | { readonly _tag: "SignatureInvalid"; readonly problem: string }
  | { readonly _tag: "KeyRefused"; readonly found: string; readonly allowed: string }

/** Names in the request that are not the grant's. */
export type CsrContradiction =
  | { readonly _tag: "SubjectContradictsGrant"; readonly expected: string; readonly found: string }
  | { readonly _tag: "SanContradictsGrant"; readonly expected: string; readonly found: string }

export interface CertificateRequest {
  readonly der: Uint8Array
  /** One PEM block CERTIFICATE REQUEST. */
  readonly pem: string
  /** Of the DER: lower-case hex, and base64url. */
  readonly sha256Hex: string
  readonly sha256Base64Url: string
  readonly publicKeySpki: Uint8Array
  readonly keyDescription: string
  readonly subject: Name
  readonly sans: ReadonlyArray<AlternativeName>
  /** Names of the extensions asked for, all of which are ignored. */
  readonly requestedExtensions: ReadonlyArray<string>
}

/** Octets: a request with an RSA key of 8192 bits and a few names has about 3,000. */
export const mostCsrBytes = 16 * 1024

/** RFC 7468 §7, and the label that older Microsoft and Netscape tools write. */
const usualLabel = "CERTIFICATE REQUEST"
const olderLabel = "NEW CERTIFICATE REQUEST"

const malformed = (problem: string): Result.Result<never, CsrFault> =>
  Result.fail({ _tag: "Malformed", problem })

interface Encodings {
  readonly der: Uint8Array
  readonly pem: string
}

const decodeInput = (input: string | Uint8Array): Result.Result<Encodings, CsrFault> => {
  if (input.length === 0) return malformed("it is empty")
  const text = typeof input === "string" ? input : bufferOver(input).toString("latin1")
  if (!looksLikePem(text))
    return typeof input === "string"
      ? malformed("there is no PEM block")
      : Result.succeed({ der: input, pem: formatPem(usualLabel, input) })
  const blocks = parsePem(text)
  if (Result.isFailure(blocks)) return malformed(blocks.failure)
  const [first, ...more] = blocks.success
  if (first === undefined || more.length > 0)
    return malformed(`expected one PEM block, found ${more.length + 1}`)
  const { der, label, pem } = first
  if (label === usualLabel) return Result.succeed({ der, pem })
  return label === olderLabel
    ? Result.succeed({ der, pem: formatPem(usualLabel, der) })
    : malformed(`expected a PEM block CERTIFICATE REQUEST, found ${label}`)
}

/** RFC 2985 §5.4.2: the attribute extensionRequest, at most once. */
const readRequestedExtensions = (attributes: DerElement | undefined): ReadonlyArray<Extension> => {
  // RFC 2986 §4.1: [0] IMPLICIT SET OF Attribute; some tools leave an empty one out.
  if (attributes === undefined) return []
  const requested: Array<ReadonlyArray<Extension>> = []
  for (const attribute of expectChildren(attributes, 0xa0, "attributes")) {
    const [type, values] = expectChildren(attribute, Tag.sequence, "attribute")
    if (readOid(type, "attribute type") !== Oid.extensionRequest) continue
    const [value, ...more] = expectChildren(values, Tag.set, "extensionRequest")
    if (value === undefined || more.length > 0)
      throw new DerError(attribute.offset, "extensionRequest: expected one value")
    requested.push(readExtensions(value))
  }
  if (requested.length > 1) throw new DerError(attributes.offset, "extensionRequest is there more than once")
  return requested.flat()
}

/** The members of a request, of which the first four are what is signed. */
interface Members {
  readonly info: DerElement
  readonly subject: Name
  readonly key: DerElement
  readonly attributes: DerElement | undefined
  readonly algorithm: DerElement | undefined
  readonly signature: DerElement | undefined
}

const readMembers = (der: Uint8Array): Members => {
  const outer = expectChildren(readWhole(der, Tag.sequence), Tag.sequence, "CertificationRequest")
  if (outer.length !== 3) throw new DerError(0, `CertificationRequest: ${outer.length} of 3 members`)
  const [first, algorithm, signature] = outer
  const info = expectTag(first, Tag.sequence, "certificationRequestInfo")
  const members = expectChildren(info, Tag.sequence, "certificationRequestInfo")
  if (members.length > 4) throw new DerError(info.offset, "certificationRequestInfo: more than 4 members")
  const [version, subject, key, attributes] = members
  // RFC 2986 §4.1: v1(0) is the only version.
  if (readInteger(version, "version") !== 0n) throw new DerError(info.offset, "version is not v1(0)")
  return {
    info,
    subject: readName(subject, "subject"),
    key: expectTag(key, Tag.sequence, "subjectPKInfo"),
    attributes,
    algorithm,
    signature
  }
}

interface Contents {
  readonly requested: ReadonlyArray<Extension>
  readonly sans: ReadonlyArray<AlternativeName>
  readonly algorithm: string
  readonly signature: Uint8Array
}

const readContents = ({ algorithm, attributes, signature }: Members): Contents => {
  const requested = readRequestedExtensions(attributes)
  return {
    requested,
    sans: requested
      .filter(({ oid }) => oid === Oid.subjectAltName)
      .flatMap(({ value }) => readAlternativeNames(value)),
    algorithm: readAlgorithm(algorithm, "signatureAlgorithm").oid,
    signature: readSignature(signature, "signature")
  }
}

const checkKey = (spki: Uint8Array): Result.Result<PublicKey, CsrFault> => {
  const refused = (found: string) =>
    Result.fail<CsrFault>({ _tag: "KeyRefused", found, allowed: allowedKeys })
  const key = readPublicKey(spki)
  if (Result.isSuccess(key))
    return key.success.allowed ? Result.succeed(key.success) : refused(key.success.description)
  const fault = key.failure
  return fault._tag === "NotAKey" ? malformed(fault.message) : refused(fault.description)
}

/** PEM, or DER as octets. Total: whatever is wrong has its fault. */
export const parse = (
  input: string | Uint8Array,
  options: { readonly maxBytes?: number } = {}
): Result.Result<CertificateRequest, CsrFault> => {
  const most = options.maxBytes ?? mostCsrBytes
  if (input.length > most) return Result.fail({ _tag: "TooLarge", size: input.length, most })
  const encodings = decodeInput(input)
  if (Result.isFailure(encodings)) return Result.fail(encodings.failure)
  const { der, pem } = encodings.success
  const members = attempt(() => readMembers(der))
  if (Result.isFailure(members)) return malformed(members.failure.message)
  const { info, key: spki, subject } = members.success
  // Whoever has a key of another kind is told so first, whatever the rest is.
  const key = checkKey(spki.raw)
  if (Result.isFailure(key)) return Result.fail(key.failure)
  const contents = attempt(() => readContents(members.success))
  if (Result.isFailure(contents)) return malformed(contents.failure.message)
  const { algorithm, requested, sans, signature } = contents.success
  const verified = verifySignature({ algorithm, data: info.raw, signature, key: key.success.key })
  if (Result.isFailure(verified)) return Result.fail({ _tag: "SignatureInvalid", problem: verified.failure })
  const sha256Hex = hash("sha256", der, "hex")
  return Result.succeed({
    der,
    pem,
    sha256Hex,
    sha256Base64Url: Buffer.from(sha256Hex, "hex").toString("base64url"),
    publicKeySpki: key.success.spki,
    keyDescription: key.success.description,
    subject,
    sans,
    requestedExtensions: requested.map(({ oid }) => oidName(oid))
  })
}

/** The subject must be empty or exactly CN=<grant id>; the names absent or exactly the URI of the grant. */
export const checkAgainstGrant = (
  request: CertificateRequest,
  grant: { readonly grantId: string }
): Result.Result<void, CsrContradiction> => {
  const { rdns } = request.subject
  const [attribute, ...others] = rdns.flat()
  const isGrant =
    attribute?.oid === Oid.commonName && attribute.value === grant.grantId && others.length === 0
  if (rdns.length > 0 && !isGrant) {
    return Result.fail({
      _tag: "SubjectContradictsGrant",
      expected: `CN=${grant.grantId}`,
      found: request.subject.text
    })
  }
  const uri = `urn:uuid:${grant.grantId}`
  const [san, ...more] = request.sans
  if (san !== undefined && (san.type !== "URI" || san.value !== uri || more.length > 0)) {
    return Result.fail({
      _tag: "SanContradictsGrant",
      expected: `URI:${uri}`,
      found: formatAlternativeNames(request.sans)
    })
  }
  return Result.succeed(undefined)
}
