/**
 * Throw-away certificate authorities and TLS server identities, made afresh in each test, so that no key lives in the
 * repository. Each can be wrong on purpose; what a wrong one must lead to is said by the test.
 */
import "reflect-metadata"
import { webcrypto } from "node:crypto"
import { isIP } from "node:net"
import * as x509 from "@peculiar/x509"
import { Effect } from "effect"

x509.cryptoProvider.set(webcrypto)

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const

const makeKeys = () => webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])

export interface Validity {
  readonly notBefore: Date
  readonly notAfter: Date
}

export interface Authority {
  readonly subject: string
  readonly pem: string
  /** What a server sends after its own certificate: none for a root, which the client has. */
  readonly chainPem: string
  readonly privateKey: webcrypto.CryptoKey
}

/** For `tls.createServer`. */
export interface ServerIdentity {
  /** The leaf and the intermediates above it. */
  readonly cert: string
  readonly key: string
}

const hours = (count: number) => new Date(Date.now() + count * 3_600_000)

const validNow = (): Validity => ({ notBefore: hours(-1), notAfter: hours(24) })
export const expired = (): Validity => ({ notBefore: hours(-48), notAfter: hours(-24) })
export const notYetValid = (): Validity => ({ notBefore: hours(24), notAfter: hours(48) })

const authorityExtensions = () => [
  new x509.BasicConstraintsExtension(true, undefined, true),
  new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)
]

export const makeRoot = (name: string, validity = validNow()) =>
  Effect.promise(async (): Promise<Authority> => {
    const keys = await makeKeys()
    const subject = `CN=${name}`
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: subject,
      keys,
      signingAlgorithm: algorithm,
      ...validity,
      extensions: authorityExtensions()
    })
    return { subject, pem: certificate.toString("pem"), chainPem: "", privateKey: keys.privateKey }
  })

export const makeIntermediate = (issuer: Authority, name: string, validity = validNow()) =>
  Effect.promise(async (): Promise<Authority> => {
    const keys = await makeKeys()
    const subject = `CN=${name}`
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: issuer.subject,
      publicKey: keys.publicKey,
      signingKey: issuer.privateKey,
      signingAlgorithm: algorithm,
      ...validity,
      extensions: authorityExtensions()
    })
    const pem = certificate.toString("pem")
    return { subject, pem, chainPem: `${pem}\n${issuer.chainPem}`, privateKey: keys.privateKey }
  })

const exportKey = async (key: webcrypto.CryptoKey) =>
  x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")

export interface ServerIdentityOptions {
  /** DNS names and IP addresses of subjectAltName. */
  readonly names: ReadonlyArray<string>
  readonly validity?: Validity
  /** What the certificate is for; servers by default. */
  readonly purpose?: "serverAuth" | "clientAuth"
}

export const makeServerIdentity = (issuer: Authority, options: ServerIdentityOptions) =>
  Effect.promise(async (): Promise<ServerIdentity> => {
    const keys = await makeKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      subject: "CN=server",
      issuer: issuer.subject,
      publicKey: keys.publicKey,
      signingKey: issuer.privateKey,
      signingAlgorithm: algorithm,
      ...(options.validity ?? validNow()),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[options.purpose ?? "serverAuth"]]),
        new x509.SubjectAlternativeNameExtension(
          options.names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }))
        )
      ]
    })
    return {
      cert: `${certificate.toString("pem")}\n${issuer.chainPem}`,
      key: await exportKey(keys.privateKey)
    }
  })

/** A certificate that is its own issuer, as an appliance or a developer's server has. */
export const makeSelfSignedIdentity = (name: string) =>
  Effect.promise(async (): Promise<ServerIdentity> => {
    const keys = await makeKeys()
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: `CN=${name}`,
      keys,
      signingAlgorithm: algorithm,
      ...validNow(),
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }])]
    })
    return { cert: certificate.toString("pem"), key: await exportKey(keys.privateKey) }
  })
