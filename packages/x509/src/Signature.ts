/** Verifies signatures with the algorithms that grant certificates, their chains and CSRs may use, and no other. */
import { type KeyObject, verify } from "node:crypto"
import { Result } from "effect"
import { oidName, signatureDigests } from "./Oid.ts"

/** Which keys sign with an algorithm: RFC 5758 §3.2, RFC 8410 §3, RFC 8017 appendix A.2.4. */
const keyTypeOf = (oid: string) =>
  oid === "1.3.101.112" ? "ed25519" : oid.startsWith("1.2.840.10045.") ? "ec" : "rsa"

export const allowedSignatures = Object.keys(signatureDigests).map(oidName).join(", ")

/** False as well where OpenSSL cannot so much as try. */
const holds = (digest: string | null, data: Uint8Array, key: KeyObject, signature: Uint8Array): boolean => {
  try {
    return verify(digest, data, key, signature)
  } catch {
    return false
  }
}

/** Succeeds where the signature holds; otherwise says why not. */
export const verifySignature = (signed: {
  readonly algorithm: string
  readonly data: Uint8Array
  readonly signature: Uint8Array
  readonly key: KeyObject
}): Result.Result<void, string> => {
  const { algorithm, data, key, signature } = signed
  const digest = signatureDigests[algorithm]
  if (digest === undefined)
    return Result.fail(`${oidName(algorithm)} is not accepted; accepted are ${allowedSignatures}`)
  if (key.asymmetricKeyType !== keyTypeOf(algorithm)) {
    return Result.fail(
      `${oidName(algorithm)} does not go with a key of type ${key.asymmetricKeyType ?? "unknown"}`
    )
  }
  return holds(digest, data, key, signature)
    ? Result.succeed(undefined)
    : Result.fail("the signature does not verify with the public key")
}
