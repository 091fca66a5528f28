/**
 * Is this certificate the one that was asked for? An ordered list of named checks, each of which compares one field with
 * what it must be and says both. All of them run, so that one look shows everything that is wrong. What is not known
 * (offline there is no request and no grant) makes a check not applicable and never passed.
 */
import { Result } from "effect"
import { LRUCache } from "lru-cache"
import {
  alternativeNames,
  authorityKeyIdentifier,
  basicConstraints,
  type Certificate,
  extendedKeyUsage,
  keyUsage,
  parseCertificate,
  parseCertificates,
  subjectKeyIdentifier
} from "./Certificate.ts"
import { checkPath, type PathFault } from "./CertificationPath.ts"
import { decodeValue, encode, fromExtensions, type GrantField, type GrantIds } from "./GrantExtension.ts"
import { formatAlternativeNames } from "./Name.ts"
import { type GrantOids, Oid, oidName, signatureDigests } from "./Oid.ts"
import { allowedSignatures } from "./Signature.ts"

/** What was asked of the CA. */
export interface Asked {
  readonly grantId: string
  readonly subjectUserId: string
  /** DER of the CSR's SubjectPublicKeyInfo. */
  readonly csrSpki: Uint8Array
  /** Decimal. */
  readonly serial: string
  readonly notAfter: Date
  readonly grantExpiresAt: Date
  /** The provisioner's limit. */
  readonly maxLifetimeMillis: number
  readonly requestedAt: Date
  readonly backdateMillis: number
  /** How far the CA's clock may be from ours where a notBefore is concerned. */
  readonly skewMillis: number
}

export interface Trust {
  readonly roots: ReadonlyArray<Certificate>
  readonly oids: GrantOids
  readonly now: Date
}

export interface Issued {
  /** PEM or DER. */
  readonly leaf: string | Uint8Array
  /** From the leaf's issuer upwards, each one or more certificates. */
  readonly chain: ReadonlyArray<string | Uint8Array>
}

export interface Mismatch {
  /** In the field's standard name. */
  readonly field: string
  readonly expected: string
  readonly found: string
}

export interface Evaluation extends Mismatch {
  readonly citation: string
  readonly outcome: "ok" | "mismatch" | "not-applicable"
}

export interface ConformantCertificate extends GrantIds {
  readonly leaf: Certificate
  readonly chain: ReadonlyArray<Certificate>
  readonly root: Certificate
}

interface Subject {
  readonly leaf: Certificate
  readonly chain: ReadonlyArray<Certificate>
  readonly asked: Partial<Asked>
  readonly trust: Trust
  /** The pinned root that the chain leads to, or why it leads to none. */
  readonly path: Result.Result<Certificate, PathFault>
}

/** The words are for whoever reads a report or a mismatch; of what is as it must be, nobody reads any. */
interface Finding {
  readonly ok: boolean
  readonly expected: () => string
  readonly found: () => string
}

export interface Check {
  readonly field: (oids: GrantOids) => string
  readonly citation: string
  /** Undefined: what it compares with is not known. */
  readonly run: (subject: Subject) => Finding | undefined
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex").toUpperCase()

const shortened = (text: string) => (text.length > 120 ? `${text.slice(0, 117)}...` : text)

const said = (text: string) => () => text

const same = (expected: string, found: string): Finding => ({
  ok: expected === found,
  expected: said(expected),
  found: said(found)
})

const equalBytes = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0

const grantExtension = (field: GrantField): Check => ({
  field: (oids) => `extension ${oids[field]} (${field})`,
  citation: "X.690 §8.23, RFC 5280 §4.2",
  run: ({ asked, leaf, trust }) => {
    const id = asked[field]
    const encoded = id === undefined ? undefined : Result.getOrUndefined(encode(id))
    const expected = () =>
      `once, not critical, ${encoded === undefined ? "0C 24 and a canonical UUID" : `0C 24 "${id}"`}`
    const [extension, ...more] = leaf.extensions.filter(({ oid }) => oid === trust.oids[field])
    if (extension === undefined) return { ok: false, expected, found: said("absent") }
    if (more.length > 0) return { ok: false, expected, found: said(`duplicate: ${more.length + 1} times`) }
    if (extension.critical) return { ok: false, expected, found: said("critical") }
    const value = decodeValue(extension.value)
    return {
      ok: Result.isSuccess(value) && (encoded === undefined || equalBytes(encoded, extension.value)),
      expected,
      found: () =>
        Result.isSuccess(value)
          ? `0C 24 "${value.success}"`
          : `${shortened(hex(extension.value))} (${value.failure.message})`
    }
  }
})

/** The grant's id as asked, or else as the certificate states it: then its parts must at least agree. */
const idOf = ({ asked, leaf, trust }: Subject) =>
  asked.grantId ?? Result.getOrUndefined(fromExtensions(leaf.extensions, trust.oids))?.grantId

const clientAuthOnly = oidName(Oid.clientAuth)

const stepCaExtensions: ReadonlyArray<string> = [
  Oid.subjectKeyIdentifier,
  Oid.authorityKeyIdentifier,
  Oid.keyUsage,
  Oid.extendedKeyUsage,
  Oid.subjectAltName,
  Oid.basicConstraints,
  Oid.stepProvisioner
]

const unreadable = (expected: string, fault: { readonly message: string }): Finding => ({
  ok: false,
  expected: said(expected),
  found: said(fault.message)
})

const notAfterLimit = (limit: Date | undefined, leaf: Certificate, why: string): Finding | undefined =>
  limit === undefined
    ? undefined
    : {
        ok: leaf.notAfter <= limit,
        expected: () => `at most ${limit.toISOString()} (${why})`,
        found: () => leaf.notAfter.toISOString()
      }

const field = (name: string) => () => name

/** In the order in which a person wants to read them. */
export const checks: ReadonlyArray<Check> = [
  {
    field: field("version"),
    citation: "RFC 5280 §4.1.2.1",
    run: ({ leaf }) => same("3", String(leaf.version))
  },
  grantExtension("grantId"),
  grantExtension("subjectUserId"),
  {
    field: field("subjectPublicKeyInfo"),
    citation: "RFC 5280 §4.1.2.7",
    run: ({ asked, leaf }) => {
      if (asked.csrSpki === undefined) return undefined
      const ok = equalBytes(asked.csrSpki, leaf.publicKey.spki)
      return {
        ok,
        expected: said("the subjectPublicKey of the CSR"),
        found: () => (ok ? leaf.publicKey.description : `another key (${leaf.publicKey.description})`)
      }
    }
  },
  {
    field: field("subjectPublicKeyInfo algorithm"),
    citation: "key policy",
    run: ({ leaf }) => ({
      ok: leaf.publicKey.allowed,
      expected: said("an accepted key"),
      found: said(leaf.publicKey.description)
    })
  },
  {
    field: field("serialNumber"),
    citation: "RFC 5280 §4.1.2.2",
    run: ({ asked, leaf }) =>
      asked.serial === undefined
        ? {
            ok: /^[1-9][0-9]{18,38}$/.test(leaf.serial),
            expected: said("a positive number of 19 to 39 digits"),
            found: said(leaf.serial)
          }
        : same(asked.serial, leaf.serial)
  },
  {
    field: field("subject"),
    citation: "RFC 5280 §4.1.2.6",
    run: (subject) => {
      const id = idOf(subject)
      if (id === undefined) return undefined
      const { rdns, text } = subject.leaf.subject
      const [attribute, ...others] = rdns.flat()
      const ok =
        attribute?.oid === Oid.commonName &&
        attribute.value === id &&
        others.length === 0 &&
        rdns.length === 1
      return { ok, expected: () => `CN=${id}`, found: said(text) }
    }
  },
  {
    field: field("subjectAltName"),
    citation: "RFC 5280 §4.2.1.6, RFC 9562 §4",
    run: (subject) => {
      const id = idOf(subject)
      if (id === undefined) return undefined
      const expected = `URI:urn:uuid:${id}`
      return Result.match(alternativeNames(subject.leaf), {
        onFailure: (fault) => unreadable(expected, fault),
        onSuccess: (names) => same(expected, formatAlternativeNames(names))
      })
    }
  },
  {
    field: field("extendedKeyUsage"),
    citation: "RFC 5280 §4.2.1.12",
    run: ({ leaf }) =>
      Result.match(extendedKeyUsage(leaf), {
        onFailure: (fault) => unreadable(clientAuthOnly, fault),
        onSuccess: (purposes) =>
          same(clientAuthOnly, purposes.length === 0 ? "absent" : purposes.map(oidName).join(", "))
      })
  },
  {
    field: field("keyUsage"),
    citation: "RFC 5280 §4.2.1.3",
    run: ({ leaf }) =>
      Result.match(keyUsage(leaf), {
        onFailure: (fault) => unreadable("digitalSignature", fault),
        onSuccess: (usages) => same("digitalSignature", usages === undefined ? "absent" : usages.join(", "))
      })
  },
  {
    field: field("basicConstraints"),
    citation: "RFC 5280 §4.2.1.9",
    run: ({ leaf }) =>
      Result.match(basicConstraints(leaf), {
        onFailure: (fault) => unreadable("absent or cA FALSE", fault),
        onSuccess: (constraints) => {
          const ok = constraints === undefined || (!constraints.ca && constraints.pathLength === undefined)
          const found = () =>
            constraints === undefined
              ? "absent"
              : `cA ${constraints.ca ? "TRUE" : "FALSE"}${constraints.pathLength === undefined ? "" : `, pathLenConstraint ${constraints.pathLength}`}`
          return { ok, expected: said("absent or cA FALSE"), found }
        }
      })
  },
  {
    field: field("extensions"),
    citation: "RFC 5280 §4.2",
    run: ({ leaf, trust }) => {
      const oids = leaf.extensions.map(({ oid }) => oid)
      const { grantId, subjectUserId } = trust.oids
      const strange = oids.filter(
        (oid) => !stepCaExtensions.includes(oid) && oid !== grantId && oid !== subjectUserId
      )
      const twice = oids.filter((oid, index) => oids.indexOf(oid) !== index)
      const ok = strange.length === 0 && twice.length === 0
      return {
        ok,
        expected: said("no other, and none twice"),
        found: () =>
          (ok
            ? oids.map(oidName)
            : [...strange.map(oidName), ...twice.map((oid) => `${oidName(oid)} twice`)]
          ).join(", ")
      }
    }
  },
  {
    field: field("subjectKeyIdentifier"),
    citation: "RFC 5280 §4.2.1.2",
    run: ({ leaf }) => {
      const stated = leaf.extensions.some(({ oid }) => oid === Oid.subjectKeyIdentifier)
      const value = subjectKeyIdentifier(leaf)
      return {
        ok: !stated || value !== undefined,
        expected: said("absent or an OCTET STRING"),
        found: said(stated ? (value ?? "unreadable") : "absent")
      }
    }
  },
  {
    field: field("authorityKeyIdentifier"),
    citation: "RFC 5280 §4.2.1.1",
    run: ({ chain, leaf }) => {
      const [issuer] = chain
      const expected = issuer === undefined ? undefined : subjectKeyIdentifier(issuer)
      const stated = leaf.extensions.some(({ oid }) => oid === Oid.authorityKeyIdentifier)
      if (expected === undefined || !stated) return undefined
      return same(expected, authorityKeyIdentifier(leaf) ?? "unreadable")
    }
  },
  {
    field: field("notAfter"),
    citation: "the lifetime asked for",
    run: ({ asked, leaf }) => notAfterLimit(asked.notAfter, leaf, "asked")
  },
  {
    field: field("notAfter, provisioner"),
    citation: "MOSAIC_CERT_MAX",
    run: ({ asked, leaf }) => {
      const { maxLifetimeMillis, requestedAt } = asked
      const limit =
        maxLifetimeMillis === undefined || requestedAt === undefined
          ? undefined
          : new Date(requestedAt.getTime() + maxLifetimeMillis)
      return notAfterLimit(limit, leaf, "the provisioner's limit")
    }
  },
  {
    field: field("notAfter, grant"),
    citation: "the grant's expiry",
    run: ({ asked, leaf }) => notAfterLimit(asked.grantExpiresAt, leaf, "the grant's expiry")
  },
  {
    field: field("notBefore"),
    citation: "RFC 5280 §4.1.2.5",
    run: ({ asked, leaf }) => {
      const { backdateMillis, requestedAt, skewMillis } = asked
      if (backdateMillis === undefined || requestedAt === undefined || skewMillis === undefined)
        return undefined
      const at = requestedAt.getTime()
      // Certificate times have whole seconds, the request's has milliseconds.
      const earliest = new Date(Math.floor((at - backdateMillis - skewMillis) / 1000) * 1000)
      const latest = new Date(at + skewMillis)
      const ok = leaf.notBefore >= earliest && leaf.notBefore <= latest
      return {
        ok,
        expected: () => `${earliest.toISOString()} to ${latest.toISOString()}`,
        found: () => leaf.notBefore.toISOString()
      }
    }
  },
  {
    field: field("validity"),
    citation: "RFC 5280 §4.1.2.5",
    run: ({ leaf, trust }) => {
      const ok = leaf.notBefore < leaf.notAfter && leaf.notBefore <= trust.now && trust.now <= leaf.notAfter
      return {
        ok,
        expected: () => `notBefore <= ${trust.now.toISOString()} <= notAfter`,
        found: () => `${leaf.notBefore.toISOString()} to ${leaf.notAfter.toISOString()}`
      }
    }
  },
  {
    field: field("signatureAlgorithm"),
    citation: "RFC 5280 §4.1.1.2",
    run: ({ leaf }) => {
      const { signatureAlgorithm: outer, tbsSignatureAlgorithm: inner } = leaf
      return {
        ok: equalBytes(outer.der, inner.der) && signatureDigests[outer.oid] !== undefined,
        expected: () => `one of ${allowedSignatures}, alike inside and outside`,
        found: () =>
          outer.oid === inner.oid
            ? oidName(outer.oid)
            : `${oidName(outer.oid)} outside, ${oidName(inner.oid)} inside`
      }
    }
  },
  {
    field: field("chain"),
    citation: "RFC 5280 §6.1",
    run: ({ chain, path }) =>
      Result.match(path, {
        onFailure: ({ expected, found }) => ({ ok: false, expected: said(expected), found: said(found) }),
        onSuccess: (root) => ({
          ok: true,
          expected: said("a chain up to a pinned root"),
          found: () => [...chain.map(({ subject }) => subject.text), root.subject.text].join(", then ")
        })
      })
  }
]

const unknown = "not known here"

/** With everything known, these alone may have nothing to compare: a CA may leave key identifiers out. */
const mayBeUnknown = ["authorityKeyIdentifier"]

const subjectOf = (
  leaf: Certificate,
  chain: ReadonlyArray<Certificate>,
  asked: Partial<Asked>,
  trust: Trust
): Subject => ({
  leaf,
  chain,
  asked,
  trust,
  path: checkPath(leaf, chain, trust.roots, trust.now)
})

/** Every check with its outcome, for a certificate of which only a part of what was asked may be known. */
export const evaluate = (
  certificate: { readonly leaf: Certificate; readonly chain: ReadonlyArray<Certificate> },
  known: Partial<Asked>,
  trust: Trust
): ReadonlyArray<Evaluation> => {
  const subject = subjectOf(certificate.leaf, certificate.chain, known, trust)
  return checks.map(({ citation, field, run }) => {
    const finding = run(subject)
    const name = field(trust.oids)
    if (finding === undefined)
      return { field: name, citation, outcome: "not-applicable", expected: unknown, found: unknown }
    const { expected, found, ok } = finding
    return {
      field: name,
      citation,
      outcome: ok ? "ok" : "mismatch",
      expected: expected(),
      found: found()
    }
  })
}

const mismatchesOf = (subject: Subject): ReadonlyArray<Mismatch> => {
  const mismatches: Array<Mismatch> = []
  for (const { field, run } of checks) {
    const finding = run(subject)
    if (finding?.ok === true) continue
    const name = field(subject.trust.oids)
    if (finding !== undefined)
      mismatches.push({ field: name, expected: finding.expected(), found: finding.found() })
    else if (!mayBeUnknown.includes(name)) mismatches.push({ field: name, expected: unknown, found: unknown })
  }
  return mismatches
}

const unreadableCertificate = (
  name: string,
  message: string
): Result.Result<never, ReadonlyArray<Mismatch>> =>
  Result.fail([{ field: name, expected: "an X.509 certificate (RFC 5280)", found: message }])

/** A CA sends the same chain with every certificate. */
const recentChains = new LRUCache<string, ReturnType<typeof parseCertificates>>({ max: 32 })

const parseChain = (part: string | Uint8Array): ReturnType<typeof parseCertificates> => {
  if (typeof part !== "string") return parseCertificates(part)
  const known = recentChains.get(part)
  if (known !== undefined) return known
  const parsed = parseCertificates(part)
  if (Result.isSuccess(parsed)) recentChains.set(part, parsed)
  return parsed
}

/** Succeeds only where every check passes; otherwise all mismatches. */
export const check = (
  issued: Issued,
  expected: Asked & Trust
): Result.Result<ConformantCertificate, ReadonlyArray<Mismatch>> => {
  const leaf = parseCertificate(issued.leaf)
  if (Result.isFailure(leaf)) return unreadableCertificate("certificate", leaf.failure.message)
  const chain: Array<Certificate> = []
  for (const part of issued.chain) {
    const certificates = parseChain(part)
    if (Result.isFailure(certificates)) return unreadableCertificate("chain", certificates.failure.message)
    chain.push(...certificates.success)
  }
  const subject = subjectOf(leaf.success, chain, expected, expected)
  const mismatches = mismatchesOf(subject)
  const { path } = subject
  if (mismatches.length > 0 || Result.isFailure(path)) return Result.fail(mismatches)
  const root = path.success
  return Result.succeed({
    grantId: expected.grantId,
    subjectUserId: expected.subjectUserId,
    leaf: leaf.success,
    chain: chain.filter(({ fingerprintSha256 }) => fingerprintSha256 !== root.fingerprintSha256),
    root
  })
}
