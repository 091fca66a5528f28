/** The stable document of a decoded certificate and its checks; docs/cli.md describes it. */
import {
  alternativeNames,
  type Certificate,
  extendedKeyUsage,
  keyUsage
} from "@mosaic-federation/x509/Certificate"
import type { Evaluation } from "@mosaic-federation/x509/CertificateConformance"
import { decodeValue } from "@mosaic-federation/x509/GrantExtension"
import { formatAlternativeNames } from "@mosaic-federation/x509/Name"
import { type GrantOids, oidName } from "@mosaic-federation/x509/Oid"
import { Result } from "effect"

/** Null where the extension is absent or its value is not what it must be; the checks say why. */
const idIn = (certificate: Certificate, oid: string): string | null => {
  const extension = certificate.extensions.find((one) => one.oid === oid)
  return extension === undefined ? null : (Result.getOrUndefined(decodeValue(extension.value)) ?? null)
}

const summary = (certificate: Certificate) => ({
  subject: certificate.subject.text,
  issuer: certificate.issuer.text,
  serial: certificate.serial,
  notBefore: certificate.notBefore.toISOString(),
  notAfter: certificate.notAfter.toISOString(),
  fingerprintSha256: certificate.fingerprintSha256
})

export const certificateDocument = (
  leaf: Certificate,
  chain: ReadonlyArray<Certificate>,
  oids: GrantOids,
  now: Date
) => ({
  grantId: idIn(leaf, oids.grantId),
  subjectUserId: idIn(leaf, oids.subjectUserId),
  ...summary(leaf),
  secondsLeft: Math.max(0, Math.floor((leaf.notAfter.getTime() - now.getTime()) / 1000)),
  subjectAltName: Result.match(alternativeNames(leaf), {
    onSuccess: formatAlternativeNames,
    onFailure: () => null
  }),
  publicKey: leaf.publicKey.description,
  keyUsage: Result.getOrUndefined(keyUsage(leaf)) ?? [],
  extendedKeyUsage: (Result.getOrUndefined(extendedKeyUsage(leaf)) ?? []).map(oidName),
  extensions: leaf.extensions.map(({ critical, oid, value }) => ({
    oid,
    name: oidName(oid),
    critical,
    value: Buffer.from(value).toString("hex").toUpperCase()
  })),
  chain: chain.map(summary)
})

export const checksDocument = (evaluations: ReadonlyArray<Evaluation>) =>
  evaluations.map(({ citation, expected, field, found, outcome }) => ({
    field,
    citation,
    outcome,
    expected,
    found
  }))
