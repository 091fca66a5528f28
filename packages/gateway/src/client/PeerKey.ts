/** A peer's key and its CSR with an empty subject: names are the CA's to write. The key never leaves this machine. */
import { createPrivateKey, generateKeyPair } from "node:crypto"
import { promisify } from "node:util"
import { Effect, Redacted } from "effect"
import { emptyCsr } from "../emptyCsr.ts"
import type { KeyType } from "./KeyType.ts"

const generate = promisify(generateKeyPair)

const makers = {
  p256: () => generate("ec", { namedCurve: "P-256" }),
  p384: () => generate("ec", { namedCurve: "P-384" }),
  ed25519: () => generate("ed25519"),
  rsa3072: () => generate("rsa", { modulusLength: 3072 })
} as const satisfies Readonly<Record<KeyType, unknown>>

export interface PeerKey {
  /** PKCS#8 in PEM (RFC 7468 §10). */
  readonly privateKeyPem: Redacted.Redacted
  /** PKCS#10 in PEM (RFC 7468 §7). */
  readonly csrPem: string
}

export const makePeerKey = (type: KeyType): Effect.Effect<PeerKey> =>
  Effect.map(Effect.promise(makers[type]), (pair) => ({
    privateKeyPem: Redacted.make(pair.privateKey.export({ format: "pem", type: "pkcs8" }) as string, {
      label: "private key"
    }),
    csrPem: emptyCsr(pair)
  }))

/** Undefined for a key that is none of those that are made here. */
export const keyTypeOf = (privateKeyPem: Redacted.Redacted): KeyType | undefined => {
  const { asymmetricKeyDetails, asymmetricKeyType } = createPrivateKey(Redacted.value(privateKeyPem))
  switch (asymmetricKeyType) {
    case "ec":
      return asymmetricKeyDetails?.namedCurve === "secp384r1" ? "p384" : "p256"
    case "ed25519":
      return "ed25519"
    case "rsa":
      return "rsa3072"
    default:
      return undefined
  }
}
