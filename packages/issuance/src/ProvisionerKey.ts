/**
 * The provisioner's private key: read from a JWK (RFC 7517) or a JWE of one (RFC 7516), decrypted and imported once.
 * Every way in which the text can be wrong is its own error, because "invalid key" helps nobody at start-up.
 */
import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject, sign, verify } from "node:crypto"
import {
  ProvisionerKeyIterationsRefused,
  ProvisionerKeyKidMismatch,
  ProvisionerKeyNotJwk,
  ProvisionerKeyPublicOnly,
  ProvisionerKeySymmetricRefused,
  ProvisionerKeyUnsupported,
  ProvisionerKeyWrongPassword
} from "@mosaic-federation/domain/ConfigurationErrors"
import { Effect, Option, Redacted, Result } from "effect"
import { calculateJwkThumbprint, errors, flattenedDecrypt, type FlattenedJWE, type JWK } from "jose"

/** RFC 8725 §3.1: the algorithm follows the key, never the token. */
export type SigningAlgorithm = "ES256" | "ES384" | "EdDSA" | "RS256" | "HS256"

export interface ProvisionerKey {
  readonly kid: string
  /** The provisioner's name, where the text is its whole entry. */
  readonly provisioner: Option.Option<string>
  readonly algorithm: SigningAlgorithm
  readonly privateKey: Redacted.Redacted<KeyObject>
  /** Verifies what `privateKey` signs; redacted because for HS256 it is the same secret. */
  readonly publicKey: Redacted.Redacted<KeyObject>
}

export interface ProvisionerKeySource {
  readonly text: Redacted.Redacted
  readonly password: Redacted.Redacted
  /** Expected instead of the thumbprint, for a kid of the operator's own choice. */
  readonly kid: Option.Option<string>
  readonly allowSymmetric: boolean
}

export type ProvisionerKeyError =
  | ProvisionerKeyNotJwk
  | ProvisionerKeyPublicOnly
  | ProvisionerKeyWrongPassword
  | ProvisionerKeyIterationsRefused
  | ProvisionerKeyUnsupported
  | ProvisionerKeyKidMismatch
  | ProvisionerKeySymmetricRefused

/** step writes 100,000, newer releases 600,000; a million takes about a second and is the most that is accepted. */
export const mostIterations = 1_000_000

const keyManagementAlgorithms = ["PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW"]

const notJwk = (problem: string) => Result.fail(new ProvisionerKeyNotJwk({ problem }))

type JsonObject = { readonly [key: string]: unknown }

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parseObject = (text: string, what: string): Result.Result<JsonObject, ProvisionerKeyNotJwk> =>
  Result.try({
    try: (): unknown => JSON.parse(text),
    catch: () => new ProvisionerKeyNotJwk({ problem: `${what} is not JSON` })
  }).pipe(
    Result.flatMap((value) =>
      isObject(value) ? Result.succeed(value) : notJwk(`${what} is not a JSON object`)
    )
  )

type Encoded =
  | { readonly _tag: "Plain"; readonly jwk: JsonObject }
  | {
      readonly _tag: "Encrypted"
      readonly jwe: FlattenedJWE
      readonly publicJwk: Option.Option<JsonObject>
      readonly provisioner: Option.Option<string>
    }

/** RFC 7516 §7.1: five parts, of which the second is the encrypted key. */
const fromCompact = (
  text: string,
  publicJwk: Option.Option<JsonObject>,
  provisioner: Option.Option<string>
): Result.Result<Encoded, ProvisionerKeyNotJwk> => {
  const parts = text.split(".")
  const [header = "", encryptedKey = "", iv = "", ciphertext = "", tag = ""] = parts
  if (parts.length !== 5) {
    return notJwk(`the text is neither JSON nor a compact JWE: it has ${parts.length} of 5 parts`)
  }
  if (!parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part))) {
    return notJwk("a part of the compact JWE is empty or not base64url")
  }
  return Result.succeed({
    _tag: "Encrypted",
    jwe: { protected: header, encrypted_key: encryptedKey, iv, ciphertext, tag },
    publicJwk,
    provisioner
  })
}

const text = (object: JsonObject, member: string): string | undefined => {
  const value = object[member]
  return typeof value === "string" ? value : undefined
}

/** A private JWK, a JWE in compact or JSON form, or a provisioner's entry of ca.json with `key` and `encryptedKey`. */
const decodeForm = (input: string): Result.Result<Encoded, ProvisionerKeyNotJwk> => {
  const trimmed = input.trim().replace(/^"(.*)"$/s, "$1")
  if (!trimmed.startsWith("{")) return fromCompact(trimmed, Option.none(), Option.none())
  return Result.flatMap(
    parseObject(trimmed, "the text"),
    (object): Result.Result<Encoded, ProvisionerKeyNotJwk> => {
      const encryptedKey = text(object, "encryptedKey")
      const key = object["key"]
      if (encryptedKey !== undefined && isObject(key)) {
        return fromCompact(encryptedKey, Option.some(key), Option.fromNullishOr(text(object, "name")))
      }
      const ciphertext = text(object, "ciphertext")
      if (ciphertext !== undefined) {
        const header = text(object, "protected")
        const encryptedKeyPart = text(object, "encrypted_key")
        const iv = text(object, "iv")
        const tag = text(object, "tag")
        if (header === undefined || encryptedKeyPart === undefined || iv === undefined || tag === undefined) {
          return notJwk("the JSON JWE lacks protected, encrypted_key, iv or tag")
        }
        return Result.succeed({
          _tag: "Encrypted",
          jwe: { protected: header, encrypted_key: encryptedKeyPart, iv, ciphertext, tag },
          publicJwk: Option.none(),
          provisioner: Option.none()
        })
      }
      return text(object, "kty") === undefined
        ? notJwk('the JSON object has no "kty" (Key Type) parameter')
        : Result.succeed({ _tag: "Plain", jwk: object })
    }
  )
}

interface Opened {
  readonly jwk: JsonObject
  readonly headerKid: Option.Option<string>
}

const decrypt = Effect.fnUntraced(function* (jwe: FlattenedJWE, password: Redacted.Redacted) {
  const header = yield* Effect.fromResult(
    parseObject(Buffer.from(jwe.protected ?? "", "base64url").toString("utf8"), "the JWE's protected header")
  )
  const alg = text(header, "alg")
  if (alg === undefined || !keyManagementAlgorithms.includes(alg)) {
    return yield* new ProvisionerKeyUnsupported({
      found: `a JWE with "alg" ${alg ?? "absent"} (accepted: ${keyManagementAlgorithms.join(", ")})`
    })
  }
  const iterations = header["p2c"]
  if (typeof iterations !== "number" || !Number.isSafeInteger(iterations) || iterations < 1) {
    return yield* new ProvisionerKeyNotJwk({
      problem: '"p2c" (PBES2 Count) of the JWE is not a positive integer'
    })
  }
  if (iterations > mostIterations) {
    return yield* new ProvisionerKeyIterationsRefused({ found: iterations, most: mostIterations })
  }
  const { plaintext } = yield* Effect.tryPromise({
    try: () =>
      flattenedDecrypt(jwe, new TextEncoder().encode(Redacted.value(password)), {
        keyManagementAlgorithms,
        maxPBES2Count: mostIterations
      }),
    catch: (cause) =>
      cause instanceof errors.JWEDecryptionFailed
        ? new ProvisionerKeyWrongPassword({})
        : new ProvisionerKeyNotJwk({
            problem: `the JWE cannot be opened (${cause instanceof errors.JOSEError ? cause.code : "not a JWE"})`
          })
  })
  const jwk = yield* Effect.fromResult(
    parseObject(Buffer.from(plaintext).toString("utf8"), "what the JWE holds")
  )
  return { jwk, headerKid: Option.fromNullishOr(text(header, "kid")) } satisfies Opened
})

const rsaBits = (jwk: JsonObject): number => {
  const modulus = Buffer.from(text(jwk, "n") ?? "", "base64url")
  const first = modulus.findIndex((byte) => byte !== 0)
  return first < 0 ? 0 : (modulus.length - first) * 8 - Math.clz32(modulus[first] ?? 0) + 24
}

const describe = (jwk: JsonObject): string =>
  [`"kty" ${text(jwk, "kty") ?? "absent"}`, text(jwk, "crv")].filter(Boolean).join(" ")

const algorithmOf = (jwk: JsonObject): Result.Result<SigningAlgorithm, ProvisionerKeyUnsupported> => {
  const unsupported = (found: string) => Result.fail(new ProvisionerKeyUnsupported({ found }))
  const byKind = (): Result.Result<SigningAlgorithm, ProvisionerKeyUnsupported> => {
    switch (`${text(jwk, "kty")} ${text(jwk, "crv") ?? ""}`.trim()) {
      case "EC P-256":
        return Result.succeed("ES256")
      case "EC P-384":
        return Result.succeed("ES384")
      case "OKP Ed25519":
        return Result.succeed("EdDSA")
      case "RSA": {
        const bits = rsaBits(jwk)
        return bits >= 2048 && bits <= 8192
          ? Result.succeed("RS256")
          : unsupported(`an RSA key of ${bits} bits`)
      }
      case "oct": {
        const bits = Buffer.from(text(jwk, "k") ?? "", "base64url").length * 8
        // RFC 7518 §3.2: a key of the same size as the hash output, or larger, must be used.
        return bits >= 256
          ? Result.succeed("HS256")
          : unsupported(`an oct key of ${bits} bits ("k" needs 256 for HS256)`)
      }
      default:
        return unsupported(`a key with ${describe(jwk)}`)
    }
  }
  return Result.flatMap(byKind(), (algorithm) => {
    const stated = jwk["alg"]
    if (stated !== undefined && stated !== algorithm && !(algorithm === "EdDSA" && stated === "Ed25519")) {
      return unsupported(
        `"alg" ${JSON.stringify(stated)} for a key with ${describe(jwk)}, which signs ${algorithm},`
      )
    }
    const use = jwk["use"]
    return use === undefined || use === "sig"
      ? Result.succeed(algorithm)
      : unsupported(`"use" ${JSON.stringify(use)}, not sig,`)
  })
}

const importPair = (
  jwk: JsonObject,
  algorithm: SigningAlgorithm
): Result.Result<{ readonly privateKey: KeyObject; readonly publicKey: KeyObject }, ProvisionerKeyNotJwk> =>
  Result.try({
    try: () => {
      if (algorithm === "HS256") {
        const secret = createSecretKey(Buffer.from(text(jwk, "k") ?? "", "base64url"))
        return { privateKey: secret, publicKey: secret }
      }
      const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...publicJwk } = jwk
      return {
        privateKey: createPrivateKey({ key: jwk, format: "jwk" }),
        publicKey: createPublicKey({ key: publicJwk, format: "jwk" })
      }
    },
    catch: () =>
      new ProvisionerKeyNotJwk({
        problem: `the parameters of the ${text(jwk, "kty")} key are incomplete or invalid`
      })
  })

/** Node imports a JWK whose private and public halves belong to different keys: a trial signature finds that out. */
const belongTogether = (pair: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }): boolean => {
  if (pair.privateKey.type === "secret") return true
  const probe = Buffer.from("mosaic")
  const digest = pair.privateKey.asymmetricKeyType === "ed25519" ? null : "sha256"
  return Result.getOrElse(
    Result.try(() => verify(digest, probe, pair.publicKey, sign(digest, probe, pair.privateKey))),
    () => false
  )
}

const checkKid = Effect.fnUntraced(function* (
  opened: Opened,
  publicJwk: Option.Option<JsonObject>,
  source: ProvisionerKeySource
) {
  const stated = Option.fromNullishOr(text(opened.jwk, "kid"))
  const mismatch = (found: string, expected: string, where: string) =>
    new ProvisionerKeyKidMismatch({ found, expected, source: where })
  const thumbprint = yield* Effect.tryPromise({
    try: () => calculateJwkThumbprint(opened.jwk as unknown as JWK, "sha256"),
    catch: () => new ProvisionerKeyNotJwk({ problem: "the key has no RFC 7638 thumbprint" })
  })
  // The thumbprint of an oct key is a hash of the secret, and step gives such a key a random kid instead.
  const byKey = text(opened.jwk, "kty") === "oct" ? stated : Option.some(thumbprint)
  const expected = Option.orElse(source.kid, () => byKey)
  const kid = Option.getOrElse(
    Option.orElse(stated, () => expected),
    () => thumbprint
  )
  if (Option.isSome(expected) && kid !== expected.value) {
    const where = Option.isSome(source.kid) ? "STEP_CA_PROVISIONER_KID" : "the key's RFC 7638 thumbprint"
    return yield* mismatch(kid, expected.value, where)
  }
  if (Option.isSome(opened.headerKid) && opened.headerKid.value !== kid) {
    return yield* mismatch(kid, opened.headerKid.value, 'the "kid" of the JWE\'s header')
  }
  const published = Option.flatMap(publicJwk, (jwk) => Option.fromNullishOr(text(jwk, "kid")))
  if (Option.isSome(published) && published.value !== kid) {
    return yield* mismatch(kid, published.value, 'the "kid" of the entry\'s public key')
  }
  return kid
})

/** The provisioner's name, where the text is its whole entry; nothing is opened. */
export const statedProvisioner = ({ text: source }: ProvisionerKeySource): Option.Option<string> => {
  const encoded = decodeForm(Redacted.value(source))
  return Result.isSuccess(encoded) && encoded.success._tag === "Encrypted"
    ? encoded.success.provisioner
    : Option.none()
}

/** Reads, decrypts, checks and imports the key. The password is not used for a plain JWK. */
export const readProvisionerKey = Effect.fn("ProvisionerKey.read")(function* (
  source: ProvisionerKeySource
): Effect.fn.Return<ProvisionerKey, ProvisionerKeyError> {
  const encoded = yield* Effect.fromResult(decodeForm(Redacted.value(source.text)))
  const opened: Opened =
    encoded._tag === "Plain"
      ? { jwk: encoded.jwk, headerKid: Option.none() }
      : yield* decrypt(encoded.jwe, source.password)
  const algorithm = yield* Effect.fromResult(algorithmOf(opened.jwk))
  if (algorithm === "HS256" && !source.allowSymmetric) return yield* new ProvisionerKeySymmetricRefused({})
  if (algorithm !== "HS256" && text(opened.jwk, "d") === undefined) {
    return yield* new ProvisionerKeyPublicOnly({ kid: text(opened.jwk, "kid") ?? "absent" })
  }
  const pair = yield* Effect.fromResult(importPair(opened.jwk, algorithm))
  if (!belongTogether(pair)) {
    return yield* new ProvisionerKeyNotJwk({
      problem: 'the private part "d" belongs to another key than the public part'
    })
  }
  const publicJwk = encoded._tag === "Encrypted" ? encoded.publicJwk : Option.none()
  const kid = yield* checkKid(opened, publicJwk, source)
  return {
    kid,
    provisioner: encoded._tag === "Encrypted" ? encoded.provisioner : Option.none(),
    algorithm,
    privateKey: Redacted.make(pair.privateKey, { label: "provisioner private key" }),
    publicKey: Redacted.make(pair.publicKey, { label: "provisioner public key" })
  }
})
