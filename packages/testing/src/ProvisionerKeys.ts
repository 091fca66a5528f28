/** Provisioner keys of every accepted kind, and some that are not, made afresh for each test. */
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { CompactEncrypt, calculateJwkThumbprint, FlattenedEncrypt, type FlattenedJWE, type JWK } from "jose"

export type ProvisionerKeyKind = "ES256" | "ES384" | "EdDSA" | "RS256" | "HS256"

const privateJwk = (kind: ProvisionerKeyKind): JWK => {
  switch (kind) {
    case "ES256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" })
    case "ES384":
      return generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey.export({ format: "jwk" })
    case "EdDSA":
      return generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" })
    case "RS256":
      return generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" })
    case "HS256":
      return { kty: "oct", k: randomBytes(32).toString("base64url") }
  }
}

/** A private JWK as step makes them: with `use`, `alg` and, as `kid`, its RFC 7638 thumbprint. */
export const makeProvisionerKey = async (
  kind: ProvisionerKeyKind
): Promise<JWK & { readonly kid: string }> => {
  const jwk = privateJwk(kind)
  return { ...jwk, use: "sig", alg: kind, kid: await calculateJwkThumbprint(jwk, "sha256") }
}

export const publicHalf = ({ d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...jwk }: JWK): JWK => jwk

const header = { alg: "PBES2-HS256+A128KW", enc: "A256GCM", cty: "jwk+json" } as const

const plaintext = (value: unknown) =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))

/** What `step ca init` writes as `encryptedKey`. Few iterations: these keys guard nothing. */
export const compactJwe = (
  value: unknown,
  password: string,
  options: { readonly p2c?: number; readonly header?: object } = {}
) =>
  new CompactEncrypt(plaintext(value))
    .setProtectedHeader({ ...header, ...options.header })
    .setKeyManagementParameters({ p2c: options.p2c ?? 1000 })
    .encrypt(new TextEncoder().encode(password))

/** What `step crypto jwk create` writes. */
export const flattenedJwe = (value: unknown, password: string): Promise<FlattenedJWE> =>
  new FlattenedEncrypt(plaintext(value))
    .setProtectedHeader(header)
    .setKeyManagementParameters({ p2c: 1000 })
    .encrypt(new TextEncoder().encode(password))
