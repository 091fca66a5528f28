/**
 * Authorities and leaves, made with another library than the code under test. A leaf is by default the one that a grant
 * asked for; each test changes the one thing that it is about. What that library would not write is rewritten and signed
 * again here.
 */
import "reflect-metadata"
import { KeyObject, randomBytes, sign, webcrypto } from "node:crypto"
import * as x509 from "@peculiar/x509"
import { Result } from "effect"
import { type Certificate, parseCertificate } from "../../src/Certificate.ts"
import { encode } from "../../src/GrantExtension.ts"
import { grantOids } from "../../src/Oid.ts"
import { bitString, membersOf, sequence } from "./Der.ts"

x509.cryptoProvider.set(webcrypto)

const p256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const

export const makeKeys = () => webcrypto.subtle.generateKey(p256, true, ["sign", "verify"])

export const grantId = "0f8fad5b-d9cb-469f-a165-70867728950e"
export const subjectUserId = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
export const otherId = "01890a5d-ac96-774b-bcce-b302099a8057"
export const serial = "98765432109876543210987654321098765432"

export const requestedAt = new Date("2026-03-01T12:00:00.500Z")
export const now = new Date("2026-03-01T12:00:02.000Z")
const notBefore = new Date("2026-03-01T11:59:00.000Z")
export const notAfter = new Date("2026-03-02T12:00:00.000Z")

export const oids = Result.getOrThrow(grantOids())

export interface Authority {
  readonly certificate: Certificate
  readonly name: string
  readonly keyIdentifier: string
  readonly keys: webcrypto.CryptoKeyPair
}

export interface AuthorityOptions {
  readonly name?: string
  readonly notBefore?: Date
  readonly notAfter?: Date
  /** In the place of basicConstraints and keyUsage. */
  readonly extensions?: ReadonlyArray<x509.Extension>
}

export const caConstraints = (pathLength?: number) =>
  new x509.BasicConstraintsExtension(true, pathLength, true)
export const keyUsages = (flags: x509.KeyUsageFlags) => new x509.KeyUsagesExtension(flags, true)
export const extension = (oid: string, value: Uint8Array, critical = false) =>
  new x509.Extension(oid, critical, new Uint8Array(value))

const caExtensions = () => [
  caConstraints(),
  keyUsages(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign)
]

export const parsed = (der: Uint8Array) => Result.getOrThrow(parseCertificate(der))

const makeAuthority = async (issuer: Authority | undefined, name: string, options: AuthorityOptions) => {
  const keys = await makeKeys()
  const keyIdentifier = randomBytes(20).toString("hex")
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: p256,
    notBefore: options.notBefore ?? new Date("2026-01-01T00:00:00.000Z"),
    notAfter: options.notAfter ?? new Date("2036-01-01T00:00:00.000Z"),
    extensions: [
      ...(options.extensions ?? caExtensions()),
      new x509.SubjectKeyIdentifierExtension(keyIdentifier)
    ]
  })
  return {
    certificate: parsed(new Uint8Array(certificate.rawData)),
    name,
    keyIdentifier,
    keys
  } satisfies Authority
}

export const makeRoot = (options: AuthorityOptions = {}): Promise<Authority> =>
  makeAuthority(undefined, options.name ?? "Test Root", options)

export const makeIntermediate = (issuer: Authority, options: AuthorityOptions = {}): Promise<Authority> =>
  makeAuthority(issuer, options.name ?? "Test Intermediate", options)

export const uuidValue = (uuid: string) => Result.getOrThrow(encode(uuid))

/** By the part that each plays in a leaf. */
const leafExtensions = (issuer: Authority) => ({
  keyUsage: keyUsages(x509.KeyUsageFlags.digitalSignature),
  extendedKeyUsage: new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
  subjectKeyIdentifier: new x509.SubjectKeyIdentifierExtension(randomBytes(20).toString("hex")),
  authorityKeyIdentifier: new x509.AuthorityKeyIdentifierExtension(issuer.keyIdentifier),
  subjectAltName: new x509.SubjectAlternativeNameExtension([{ type: "url", value: `urn:uuid:${grantId}` }]),
  grantId: extension(oids.grantId, uuidValue(grantId)),
  subjectUserId: extension(oids.subjectUserId, uuidValue(subjectUserId))
})

type LeafExtensions = ReturnType<typeof leafExtensions>

export interface LeafOptions {
  readonly subject?: string
  readonly serial?: string
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly publicKey?: webcrypto.CryptoKey | Uint8Array<ArrayBuffer>
  readonly hash?: "SHA-1" | "SHA-256" | "SHA-384"
  /** Undefined leaves one out. */
  readonly replaced?: { readonly [field in keyof LeafExtensions]?: x509.Extension | undefined }
  readonly added?: ReadonlyArray<x509.Extension>
}

/** The DER. */
export const makeLeaf = async (
  issuer: Authority,
  publicKey: webcrypto.CryptoKey,
  options: LeafOptions = {}
): Promise<Uint8Array> => {
  const extensions = { ...leafExtensions(issuer), ...options.replaced }
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: BigInt(options.serial ?? serial).toString(16),
    subject: options.subject ?? `CN=${grantId}`,
    issuer: `CN=${issuer.name}`,
    publicKey: options.publicKey ?? publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: { ...p256, hash: options.hash ?? "SHA-256" },
    notBefore: options.notBefore ?? notBefore,
    notAfter: options.notAfter ?? notAfter,
    extensions: [...Object.values(extensions).filter((one) => one !== undefined), ...(options.added ?? [])]
  })
  return new Uint8Array(certificate.rawData)
}

/** With members of tbsCertificate (RFC 5280 §4.1) changed, and signed by the issuer with ECDSA and SHA-256. */
export const rewritten = (
  der: Uint8Array,
  issuer: Authority,
  change: (members: ReadonlyArray<Uint8Array>) => ReadonlyArray<Uint8Array>
): Uint8Array => {
  const [tbs = der, algorithm = der] = membersOf(der)
  const changed = sequence(...change(membersOf(tbs)))
  const signature = sign("sha256", changed, KeyObject.from(issuer.keys.privateKey))
  return sequence(changed, algorithm, bitString(signature))
}

export const spkiOf = async (key: webcrypto.CryptoKey) =>
  new Uint8Array(await webcrypto.subtle.exportKey("spki", key))
