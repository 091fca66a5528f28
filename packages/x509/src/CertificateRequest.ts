/**
 * A PKCS#10 certification request (RFC 2986): parsed within a bound, its signature verified, its key held to the key
 * policy. What it asks for beyond its key is reported and otherwise ignored; only names that contradict the grant count.
 */
import { createHash } from "node:crypto"
import { Result } from "effect"
import { readAlgorithm, readExtensions, readSignature } from "./Certificate.ts"
import {
  type DerElement,
  type DerFault,
  expectChildren,
  expectTag,
  readInteger,
  readOid,
  readWhole,
  Tag
} from "./DerReader.ts"
import type { Extension } from "./GrantExtension.ts"
import {
  type AlternativeName,
  formatAlternativeNames,
  type Name,
  readAlternativeNames,
  readName
} from "./Name.ts"
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

const labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]

const malformed = (problem: string): Result.Result<never, CsrFault> =>
  Result.fail({ _tag: "Malformed", problem })

const asMalformed = ({ message }: { readonly message: string }): CsrFault => ({
  _tag: "Malformed",
  problem: message
})

const toDer = (input: string | Uint8Array): Result.Result<Uint8Array, CsrFault> => {
  if (input.length === 0) return malformed("it is empty")
  const text = typeof input === "string" ? input : Buffer.from(input).toString("latin1")
  if (!looksLikePem(text))
    return typeof input === "string" ? malformed("there is no PEM block") : Result.succeed(input)
  return Result.flatMap(
    Result.mapError(parsePem(text), (message) => asMalformed({ message })),
    ([first, ...more]) => {
      if (first === undefined || more.length > 0)
        return malformed(`expected one PEM block, found ${more.length + 1}`)
      // RFC 7468 §7, and the label that older Microsoft and Netscape tools write.
      return labels.includes(first.label)
        ? Result.succeed(first.der)
        : malformed(`expected a PEM block CERTIFICATE REQUEST, found ${first.label}`)
    }
  )
}

/** RFC 2985 §5.4.2: the attribute extensionRequest, at most once. */
const readRequestedExtensions = (
  attributes: DerElement | undefined
): Result.Result<ReadonlyArray<Extension>, DerFault> =>
  Result.gen(function* () {
    // RFC 2986 §4.1: [0] IMPLICIT SET OF Attribute; some tools leave an empty one out.
    if (attributes === undefined) return []
    const requested: Array<ReadonlyArray<Extension>> = []
    for (const attribute of yield* expectChildren(attributes, 0xa0, "attributes")) {
      const [type, values] = yield* expectChildren(attribute, Tag.sequence, "attribute")
      if ((yield* readOid(type, "attribute type")) !== Oid.extensionRequest) continue
      const [value, ...more] = yield* expectChildren(values, Tag.set, "extensionRequest")
      if (value === undefined || more.length > 0)
        return yield* Result.fail({
          offset: attribute.offset,
          message: "extensionRequest: expected one value"
        })
      requested.push(yield* readExtensions(value))
    }
    return requested.length > 1
      ? yield* Result.fail({ offset: attributes.offset, message: "extensionRequest is there more than once" })
      : requested.flat()
  })

const readSans = (
  extensions: ReadonlyArray<Extension>
): Result.Result<ReadonlyArray<AlternativeName>, DerFault> =>
  Result.gen(function* () {
    const names: Array<AlternativeName> = []
    for (const { oid, value } of extensions)
      if (oid === Oid.subjectAltName) names.push(...(yield* readAlternativeNames(value)))
    return names
  })

const checkKey = (spki: Uint8Array): Result.Result<PublicKey, CsrFault> => {
  const refused = (found: string) =>
    Result.fail<CsrFault>({ _tag: "KeyRefused", found, allowed: allowedKeys })
  return Result.match(readPublicKey(spki), {
    onFailure: (fault) => (fault._tag === "NotAKey" ? malformed(fault.message) : refused(fault.description)),
    onSuccess: (key) => (key.allowed ? Result.succeed(key) : refused(key.description))
  })
}

/** PEM, or DER as octets. Total: whatever is wrong has its fault. */
export const parse = (
  input: string | Uint8Array,
  options: { readonly maxBytes?: number } = {}
): Result.Result<CertificateRequest, CsrFault> =>
  Result.gen(function* () {
    const most = options.maxBytes ?? mostCsrBytes
    if (input.length > most)
      return yield* Result.fail<CsrFault>({ _tag: "TooLarge", size: input.length, most })
    const der = yield* toDer(input)
    const request = yield* Result.mapError(readWhole(der, Tag.sequence), asMalformed)
    const outer = yield* Result.mapError(
      expectChildren(request, Tag.sequence, "CertificationRequest"),
      asMalformed
    )
    if (outer.length !== 3) return yield* malformed(`CertificationRequest: ${outer.length} of 3 members`)
    const [info, algorithm, signature] = outer
    const members = yield* Result.mapError(
      expectChildren(info, Tag.sequence, "certificationRequestInfo"),
      asMalformed
    )
    if (members.length > 4) return yield* malformed("certificationRequestInfo: more than 4 members")
    const [version, subject, spki, attributes] = members
    // RFC 2986 §4.1: v1(0) is the only version.
    if ((yield* Result.mapError(readInteger(version, "version"), asMalformed)) !== 0n)
      return yield* malformed("version is not v1(0)")
    const name = yield* Result.mapError(readName(subject, "subject"), asMalformed)
    const keyElement = yield* Result.mapError(expectTag(spki, Tag.sequence, "subjectPKInfo"), asMalformed)
    const key = yield* checkKey(keyElement.raw)
    const requested = yield* Result.mapError(readRequestedExtensions(attributes), asMalformed)
    const sans = yield* Result.mapError(readSans(requested), asMalformed)
    const { oid } = yield* Result.mapError(readAlgorithm(algorithm, "signatureAlgorithm"), asMalformed)
    const proof = yield* Result.mapError(readSignature(signature, "signature"), asMalformed)
    yield* Result.mapError(
      verifySignature({ algorithm: oid, data: info?.raw ?? der, signature: proof, key: key.key }),
      (problem): CsrFault => ({ _tag: "SignatureInvalid", problem })
    )
    const digest = createHash("sha256").update(der).digest()
    return {
      der,
      pem: formatPem("CERTIFICATE REQUEST", der),
      sha256Hex: digest.toString("hex"),
      sha256Base64Url: digest.toString("base64url"),
      publicKeySpki: key.spki,
      keyDescription: key.description,
      subject: name,
      sans,
      requestedExtensions: requested.map((extension) => oidName(extension.oid))
    } satisfies CertificateRequest
  })

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
