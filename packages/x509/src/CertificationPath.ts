/**
 * Follows a chain from a leaf to a pinned root, as far as RFC 5280 §6.1 applies to chains of ours: signatures, name
 * chaining, validity, CA constraints. Whatever it does not process is refused and not passed over.
 */
import { Result } from "effect"
import { LRUCache } from "lru-cache"
import { basicConstraints, type Certificate, keyUsage } from "./Certificate.ts"
import { Oid, oidName } from "./Oid.ts"
import { verifySignature } from "./Signature.ts"

/** Expected and found, in the words of a mismatch. */
export interface PathFault {
  readonly expected: string
  readonly found: string
}

/** Longer chains are not made by step-ca; each link costs a signature check. */
const mostIntermediates = 8

const processed: ReadonlyArray<string> = [
  Oid.basicConstraints,
  Oid.keyUsage,
  Oid.subjectKeyIdentifier,
  Oid.authorityKeyIdentifier
]

const fail = (expected: string, found: string): Result.Result<never, PathFault> =>
  Result.fail({ expected, found })

const sameName = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0

const isValidAt = (certificate: Certificate, now: Date) =>
  now >= certificate.notBefore && now <= certificate.notAfter

/** What RFC 5280 §6.1.4 wants of a certificate that others hang on; `below` counts the intermediates under it. */
const checkIssuer = (issuer: Certificate, below: number, now: Date): Result.Result<void, PathFault> => {
  const name = issuer.subject.text
  const constraints = Result.getOrUndefined(basicConstraints(issuer))
  if (constraints?.ca !== true) return fail(`${name} with basicConstraints cA TRUE`, "no CA certificate")
  if (constraints.pathLength !== undefined && constraints.pathLength < below) {
    return fail(
      `at most ${constraints.pathLength} intermediates below ${name} (pathLenConstraint)`,
      String(below)
    )
  }
  const usage = keyUsage(issuer)
  if (Result.isFailure(usage) || usage.success?.includes("keyCertSign") === false) {
    return fail(
      `${name} with keyUsage keyCertSign`,
      Result.isSuccess(usage) ? (usage.success ?? []).join(", ") : "unreadable"
    )
  }
  // RFC 5280 §6.1.4 (o): a critical extension that is not processed ends the path.
  const unprocessed = issuer.extensions.find(({ critical, oid }) => critical && !processed.includes(oid))
  if (unprocessed !== undefined)
    return fail(`no critical extension in ${name} that is not processed`, oidName(unprocessed.oid))
  return isValidAt(issuer, now)
    ? Result.succeed(undefined)
    : fail(
        `${name} valid at ${now.toISOString()}`,
        `${issuer.notBefore.toISOString()} to ${issuer.notAfter.toISOString()}`
      )
}

/**
 * Links between CA certificates that verified, by their fingerprints: the same octets under the same key verify again.
 * Leaves are not among them, and nothing that depends on the time.
 */
const verified = new LRUCache<string, true>({ max: 64 })

const verifyLink = (subject: Certificate, issuer: Certificate): Result.Result<void, string> => {
  const link = `${subject.fingerprintSha256} ${issuer.fingerprintSha256}`
  if (verified.has(link)) return Result.succeed(undefined)
  const result = verifySignature({
    algorithm: subject.signatureAlgorithm.oid,
    data: subject.tbs,
    signature: subject.signature,
    key: issuer.publicKey.key
  })
  const isCa = Result.getOrUndefined(basicConstraints(subject))?.ca === true
  if (isCa && Result.isSuccess(result)) verified.set(link, true)
  return result
}

const checkLink = (subject: Certificate, issuer: Certificate): Result.Result<void, PathFault> => {
  if (!sameName(subject.issuer.der, issuer.subject.der))
    return fail(`issued by ${subject.issuer.text}`, issuer.subject.text)
  return Result.mapError(verifyLink(subject, issuer), (problem) => ({
    expected: `${subject.subject.text} signed by ${issuer.subject.text}`,
    found: problem
  }))
}

/** The pinned root that the chain leads to. `chain` begins with the leaf's issuer; the root may end it or be left out. */
export const checkPath = (
  leaf: Certificate,
  chain: ReadonlyArray<Certificate>,
  roots: ReadonlyArray<Certificate>,
  now: Date
): Result.Result<Certificate, PathFault> => {
  const last = chain.at(-1)?.fingerprintSha256
  const intermediates = roots.some(({ fingerprintSha256 }) => fingerprintSha256 === last)
    ? chain.slice(0, -1)
    : chain
  if (intermediates.length > mostIntermediates)
    return fail(`at most ${mostIntermediates} intermediates`, String(intermediates.length))
  let subject = leaf
  for (const [below, issuer] of intermediates.entries()) {
    const link = checkLink(subject, issuer)
    if (Result.isFailure(link)) return Result.fail(link.failure)
    const fit = checkIssuer(issuer, below, now)
    if (Result.isFailure(fit)) return Result.fail(fit.failure)
    subject = issuer
  }
  const candidates = roots.filter((root) => sameName(root.subject.der, subject.issuer.der))
  const root = candidates.find((candidate) => Result.isSuccess(checkLink(subject, candidate)))
  if (root === undefined) {
    return fail(
      "a chain up to a pinned root",
      candidates.length === 0
        ? `${subject.subject.text} issued by ${subject.issuer.text}, which is not pinned`
        : `${subject.subject.text} not signed by the pinned ${subject.issuer.text}`
    )
  }
  return Result.map(checkIssuer(root, intermediates.length, now), () => root)
}
