/** Object identifiers, each declared once. */
import { Result } from "effect"

/**
 * iso(1) identified-organization(3) dod(6) internet(1) private(4) enterprise(1) 99999: a placeholder. Operators register
 * a Private Enterprise Number with IANA before production and set it in one place.
 */
export const mosaicArc = "1.3.6.1.4.1.99999"

export interface GrantOids {
  readonly grantId: string
  readonly subjectUserId: string
}

export interface InvalidArc {
  readonly message: string
}

/** X.660 §7.6: the first arc is 0, 1 or 2, and below 0 and 1 the second is at most 39. No leading zeros. */
const dotted = /^(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9][0-9]{0,9}))(?:\.(?:0|[1-9][0-9]{0,9}))*$/

/** The two extensions under an arc: `.1` is the grant id, `.2` the subject user id. */
export const grantOids = (arc: string = mosaicArc): Result.Result<GrantOids, InvalidArc> =>
  arc.length <= 128 && dotted.test(arc)
    ? Result.succeed({ grantId: `${arc}.1`, subjectUserId: `${arc}.2` })
    : Result.fail({ message: `${JSON.stringify(arc)} is not an object identifier in dotted form` })

export const Oid = {
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  extensionRequest: "1.2.840.113549.1.9.14",
  /** smallstep's own: which provisioner signed. */
  stepProvisioner: "1.3.6.1.4.1.37476.9000.64.1"
} as const

const names: { readonly [oid: string]: string } = {
  "2.5.4.3": "CN",
  "2.5.4.4": "SN",
  "2.5.4.5": "serialNumber",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "1.2.840.113549.1.9.1": "emailAddress",
  "0.9.2342.19200300.100.1.25": "DC",
  "2.5.29.14": "subjectKeyIdentifier",
  "2.5.29.15": "keyUsage",
  "2.5.29.17": "subjectAltName",
  "2.5.29.19": "basicConstraints",
  "2.5.29.30": "nameConstraints",
  "2.5.29.31": "cRLDistributionPoints",
  "2.5.29.32": "certificatePolicies",
  "2.5.29.35": "authorityKeyIdentifier",
  "2.5.29.37": "extendedKeyUsage",
  "1.3.6.1.5.5.7.1.1": "authorityInfoAccess",
  "1.3.6.1.5.5.7.3.1": "serverAuth",
  "1.3.6.1.5.5.7.3.2": "clientAuth",
  "1.3.6.1.5.5.7.3.3": "codeSigning",
  "1.3.6.1.5.5.7.3.4": "emailProtection",
  "2.5.29.37.0": "anyExtendedKeyUsage",
  "1.3.6.1.4.1.37476.9000.64.1": "stepProvisioner",
  "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
  "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
  "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
  "1.2.840.10045.4.1": "ecdsa-with-SHA1",
  "1.3.101.112": "Ed25519",
  "1.3.101.113": "Ed448",
  "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
  "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
  "1.2.840.113549.1.1.10": "RSASSA-PSS",
  "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
  "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
  "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
  "1.2.840.10040.4.3": "dsa-with-SHA1",
  "2.16.840.1.101.3.4.3.2": "dsa-with-SHA256"
}

/** The standard name of an object identifier, or its dotted form. */
export const oidName = (oid: string): string => names[oid] ?? oid

/** RFC 5758, RFC 8410, RFC 8017: what a grant certificate, its chain and a CSR may be signed with; the digest of each. */
export const signatureDigests: { readonly [oid: string]: "sha256" | "sha384" | "sha512" | null } = {
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
  "1.3.101.112": null,
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512"
}
