/** The pinned roots: a PEM file of self-signed CA certificates and nothing else. Several are accepted, for a rotation. */
import { Result } from "effect"
import { basicConstraints, type Certificate, keyUsage, parseCertificates } from "./Certificate.ts"
import { verifySignature } from "./Signature.ts"

export type RootBundleFault =
  | { readonly _tag: "NotCertificates"; readonly message: string }
  | { readonly _tag: "NotSelfSigned"; readonly subject: string; readonly message: string }
  | { readonly _tag: "NotCa"; readonly subject: string; readonly message: string }
  | { readonly _tag: "Expired"; readonly subject: string; readonly notAfter: Date; readonly message: string }
  | {
      readonly _tag: "NotYetValid"
      readonly subject: string
      readonly notBefore: Date
      readonly message: string
    }

const isSelfSigned = (certificate: Certificate): boolean =>
  Buffer.from(certificate.subject.der).equals(certificate.issuer.der) &&
  Result.isSuccess(
    verifySignature({
      algorithm: certificate.signatureAlgorithm.oid,
      data: certificate.tbs,
      signature: certificate.signature,
      key: certificate.publicKey.key
    })
  )

/** RFC 5280 §4.2.1.9 and §4.2.1.3: cA is TRUE and, where key usage is stated, keyCertSign is in it. */
const isCa = (certificate: Certificate): boolean => {
  const constraints = Result.getOrUndefined(basicConstraints(certificate))
  const usage = keyUsage(certificate)
  return (
    constraints?.ca === true && Result.isSuccess(usage) && (usage.success?.includes("keyCertSign") ?? true)
  )
}

const checkRoot = (root: Certificate, now: Date): Result.Result<Certificate, RootBundleFault> => {
  const subject = root.subject.text
  if (!isSelfSigned(root)) {
    return Result.fail({
      _tag: "NotSelfSigned",
      subject,
      message: `${subject} is not self-signed: it is no root`
    })
  }
  if (!isCa(root)) {
    return Result.fail({
      _tag: "NotCa",
      subject,
      message: `${subject} is no CA certificate (basicConstraints cA, keyUsage keyCertSign)`
    })
  }
  const { notAfter, notBefore } = root
  if (now > notAfter) {
    return Result.fail({
      _tag: "Expired",
      subject,
      notAfter,
      message: `${subject} expired at ${notAfter.toISOString()}`
    })
  }
  if (now < notBefore) {
    return Result.fail({
      _tag: "NotYetValid",
      subject,
      notBefore,
      message: `${subject} is not valid before ${notBefore.toISOString()}`
    })
  }
  return Result.succeed(root)
}

/** At least one root, each once. */
export const parseRootBundle = (
  pem: string,
  now: Date
): Result.Result<ReadonlyArray<Certificate>, RootBundleFault> =>
  Result.gen(function* () {
    const certificates = yield* Result.mapError(parseCertificates(pem), ({ message }): RootBundleFault => ({
      _tag: "NotCertificates",
      message
    }))
    const roots = new Map<string, Certificate>()
    for (const certificate of certificates)
      roots.set(certificate.fingerprintSha256, yield* checkRoot(certificate, now))
    return [...roots.values()]
  })
