/** The old key and the new one of a rotation, in the form of the key files. */
import { generateKeyPair, randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import { InputUnreadable } from "@mosaic-federation/domain/CommandErrors"
import { RotationStateUnusable } from "@mosaic-federation/domain/RotationErrors"
import { type ProvisionerKey, readProvisionerKey } from "@mosaic-federation/issuance/ProvisionerKey"
import { requiredSetting } from "@mosaic-federation/issuance/Setting"
import { Effect, Option, Redacted } from "effect"
import { calculateJwkThumbprint, CompactEncrypt, type JWK } from "jose"
import { hasPassed, keyPath, type RotationState } from "./RotationState.ts"

export interface RotationKeys {
  readonly old: ProvisionerKey
  readonly next: ProvisionerKey
  /** The public half of the new key, as the CA shows it. */
  readonly nextPublic: JWK
  readonly nextJwe: string
}

/** OWASP's count for PBKDF2 with SHA-256; `readProvisionerKey` takes up to a million. */
const iterations = 600_000

const generate = promisify(generateKeyPair)

const password = requiredSetting(
  "STEP_CA_PROVISIONER_PASSWORD",
  "the password of the provisioner key (any text when the key is a plain JWK)"
)

export const openKey = Effect.fnUntraced(function* (text: string) {
  return yield* readProvisionerKey({
    text: Redacted.make(text),
    password: Redacted.make(yield* password),
    kid: Option.none(),
    allowSymmetric: true
  })
})

export const makeKey = Effect.gen(function* () {
  const { privateKey } = yield* Effect.promise(() => generate("ec", { namedCurve: "P-256" }))
  const jwk = privateKey.export({ format: "jwk" }) as JWK
  const kid = yield* Effect.promise(() => calculateJwkThumbprint(jwk, "sha256"))
  const secret = yield* password
  const plaintext = new TextEncoder().encode(JSON.stringify({ ...jwk, alg: "ES256", use: "sig", kid }))
  const jwe = yield* Effect.promise(() =>
    new CompactEncrypt(plaintext)
      .setProtectedHeader({ alg: "PBES2-HS256+A128KW", enc: "A256GCM", cty: "jwk+json", kid })
      .setKeyManagementParameters({ p2c: iterations, p2s: randomBytes(16) })
      .encrypt(new TextEncoder().encode(secret))
  )
  return { kid, jwe }
})

const publicJwkOf = ({ kid, publicKey }: ProvisionerKey): JWK => ({
  use: "sig",
  kid,
  alg: "ES256",
  ...(Redacted.value(publicKey).export({ format: "jwk" }) as JWK)
})

export const readText = (path: string) =>
  Effect.try({
    try: () => readFileSync(path, "utf8"),
    catch: (error) =>
      new InputUnreadable({ path, reason: (error as NodeJS.ErrnoException).code ?? "unreadable" })
  })

export const keysOf = Effect.fnUntraced(function* (directory: string, state: RotationState) {
  const unusable = (problem: string) => new RotationStateUnusable({ directory, problem })
  const read = Effect.fnUntraced(function* (which: "old" | "new", kid: string) {
    const path = keyPath(directory, which)
    const text = yield* Effect.mapError(readText(path), ({ reason }) =>
      unusable(`the ${which} key is not there (${reason})`)
    )
    const key = yield* openKey(text)
    if (key.kid !== kid) return yield* unusable(`the ${which} key is not the one of state.json`)
    return { key, text }
  })
  const { key: next, text } = yield* read("new", state.newKid)
  const old = hasPassed(state, "removed") ? next : (yield* read("old", state.oldKid)).key
  return { old, next, nextPublic: publicJwkOf(next), nextJwe: text.trim() } satisfies RotationKeys
})
