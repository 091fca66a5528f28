import { generateKeyPairSync } from "node:crypto"
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import {
  compactJwe,
  flattenedJwe,
  makeProvisionerKey,
  type ProvisionerKeyKind,
  publicHalf
} from "@mosaic-federation/testing/ProvisionerKeys"
import { Effect, Option, Redacted } from "effect"
import { readProvisionerKey, type ProvisionerKeySource } from "../src/ProvisionerKey.ts"

const read = (
  text: unknown,
  options: Partial<Omit<ProvisionerKeySource, "text" | "password">> & { readonly password?: string } = {}
) =>
  readProvisionerKey({
    text: Redacted.make(typeof text === "string" ? text : JSON.stringify(text)),
    password: Redacted.make(options.password ?? "unused"),
    kid: options.kid ?? Option.none(),
    allowSymmetric: options.allowSymmetric ?? false
  })

const refusal = (text: unknown, options: Parameters<typeof read>[1] = {}) => Effect.flip(read(text, options))

const key = (kind: ProvisionerKeyKind) => Effect.promise(() => makeProvisionerKey(kind))

describe("ProvisionerKey", () => {
  for (const kind of ["ES256", "ES384", "EdDSA", "RS256"] as const) {
    it.effect(`accepts a plain JWK that signs ${kind}`, () =>
      Effect.gen(function* () {
        const jwk = yield* key(kind)
        const provisionerKey = yield* read(jwk)
        assert.deepStrictEqual([provisionerKey.algorithm, provisionerKey.kid], [kind, jwk.kid])
      })
    )
  }

  it.effect("accepts the JWE in each form that step writes, and a provisioner's entry of ca.json", () =>
    Effect.gen(function* () {
      const jwk = yield* key("ES256")
      const compact = yield* Effect.promise(() => compactJwe(jwk, "correct horse"))
      const flattened = yield* Effect.promise(() => flattenedJwe(jwk, "correct horse"))
      const forms = [
        compact,
        `\n  ${compact}\n`,
        JSON.stringify(compact),
        flattened,
        { type: "JWK", key: publicHalf(jwk), encryptedKey: compact }
      ]
      for (const form of forms) {
        assert.strictEqual((yield* read(form, { password: "correct horse" })).kid, jwk.kid)
      }
    })
  )

  it.effect("accepts a million PBES2 iterations", () =>
    Effect.gen(function* () {
      const jwk = yield* key("ES256")
      const jwe = yield* Effect.promise(() => compactJwe(jwk, "pw", { p2c: 1_000_000 }))
      assert.strictEqual((yield* read(jwe, { password: "pw" })).kid, jwk.kid)
    })
  )

  it.effect("refuses one iteration more, before it computes any", () =>
    Effect.gen(function* () {
      const header = Buffer.from(
        JSON.stringify({ alg: "PBES2-HS256+A128KW", enc: "A256GCM", p2c: 1_000_001, p2s: "AAAA" })
      ).toString("base64url")
      const error = yield* refusal(`${header}.AA.AA.AA.AA`)
      assert.strictEqual(error.code, "PROVISIONER_KEY_ITERATIONS_REFUSED")
      assert.include(error.message, '"p2c" (PBES2 Count) is 1000001, at most 1000000')
      assert.include(error.remediation, "step crypto jwe encrypt")
    })
  )

  it.effect("tells a wrong password from a wrong key", () =>
    Effect.gen(function* () {
      const jwe = yield* Effect.promise(async () => compactJwe(await makeProvisionerKey("ES256"), "right"))
      const error = yield* refusal(jwe, { password: "wrong" })
      assert.strictEqual(error.code, "PROVISIONER_KEY_WRONG_PASSWORD")
      assert.include(error.message, "STEP_CA_PROVISIONER_PASSWORD does not decrypt")
      assert.include(error.remediation, "set STEP_CA_PROVISIONER_PASSWORD (or _FILE)")
    })
  )

  it.effect("says what is wrong with text that is no JWK", () =>
    Effect.gen(function* () {
      const jwk = yield* key("ES256")
      const other = yield* key("ES256")
      const notEncryptedJson = yield* Effect.promise(() => compactJwe("plain words", "pw"))
      const cases: ReadonlyArray<readonly [unknown, string]> = [
        ["hello", "it has 1 of 5 parts"],
        ["a.b.c", "it has 3 of 5 parts"],
        ["a..c.d.e", "a part of the compact JWE is empty or not base64url"],
        ["{", "the text is not JSON"],
        ["{}", 'no "kty" (Key Type) parameter'],
        ["e30.AA.AA.AA.AA", '"alg" absent'],
        [{ ciphertext: "AA" }, "the JSON JWE lacks protected"],
        [notEncryptedJson, "what the JWE holds is not JSON"],
        [{ ...jwk, d: other["d"] }, 'the private part "d" belongs to another key'],
        [{ ...jwk, x: "AA" }, "the parameters of the EC key are incomplete or invalid"]
      ]
      for (const [text, problem] of cases) {
        const error = yield* refusal(text, { password: "pw" })
        assert.include(["PROVISIONER_KEY_NOT_JWK", "PROVISIONER_KEY_UNSUPPORTED"], error.code, problem)
        assert.include(error.message, problem)
      }
      const error = yield* refusal("hello")
      assert.strictEqual(error.code, "PROVISIONER_KEY_NOT_JWK")
      assert.include(error.remediation, "set STEP_CA_PROVISIONER_KEY_JSON to a private JWK")
    })
  )

  it.effect("refuses the public half alone", () =>
    Effect.gen(function* () {
      const jwk = yield* key("ES256")
      const error = yield* refusal(publicHalf(jwk))
      assert.strictEqual(error.code, "PROVISIONER_KEY_PUBLIC_ONLY")
      assert.include(error.message, `kid ${jwk.kid} has no "d" (Private Key) parameter`)
      assert.include(error.remediation, "set STEP_CA_PROVISIONER_KEY_JSON to the private JWK")
    })
  )

  it.effect("refuses a kid that belongs to another key, wherever it stands", () =>
    Effect.gen(function* () {
      const jwk = yield* key("ES256")
      const other = yield* key("ES256")
      const inHeader = yield* Effect.promise(() => compactJwe(jwk, "pw", { header: { kid: other.kid } }))
      const compact = yield* Effect.promise(() => compactJwe(jwk, "pw"))
      const cases: ReadonlyArray<readonly [unknown, string]> = [
        [{ ...jwk, kid: other.kid }, "the key's RFC 7638 thumbprint"],
        [inHeader, 'the "kid" of the JWE\'s header'],
        [{ key: publicHalf(other), encryptedKey: compact }, 'the "kid" of the entry\'s public key']
      ]
      for (const [text, where] of cases) {
        const error = yield* refusal(text, { password: "pw" })
        assert.strictEqual(error.code, "PROVISIONER_KEY_KID_MISMATCH")
        assert.include(error.message, where)
        assert.include(error.remediation, "STEP_CA_PROVISIONER_KID")
      }
    })
  )

  it.effect("takes a kid of the operator's own choice when it is stated", () =>
    Effect.gen(function* () {
      const jwk = yield* key("ES256")
      const named = { ...jwk, kid: "gateway-2026" }
      assert.strictEqual((yield* read(named, { kid: Option.some("gateway-2026") })).kid, "gateway-2026")
      const error = yield* refusal(named, { kid: Option.some("gateway-2027") })
      assert.strictEqual(error.code, "PROVISIONER_KEY_KID_MISMATCH")
      assert.include(error.message, "STEP_CA_PROVISIONER_KID is gateway-2027")
    })
  )

  it.effect("refuses keys of other kinds by name", () =>
    Effect.gen(function* () {
      const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" }).privateKey.export({ format: "jwk" })
      const x25519 = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" })
      const rsa1024 = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ format: "jwk" })
      const es256 = yield* key("ES256")
      const cases: ReadonlyArray<readonly [unknown, string]> = [
        [p521, '"kty" EC P-521'],
        [x25519, '"kty" OKP X25519'],
        [rsa1024, "an RSA key of 1024 bits"],
        [{ kty: "oct", k: "c2hvcnQ" }, "an oct key of 40 bits"],
        [{ ...es256, alg: "ES384" }, '"alg" "ES384"'],
        [{ ...es256, use: "enc" }, '"use" "enc"']
      ]
      for (const [jwk, found] of cases) {
        const error = yield* refusal(jwk)
        assert.strictEqual(error.code, "PROVISIONER_KEY_UNSUPPORTED")
        assert.include(error.message, found)
        assert.include(error.remediation, "step ca provisioner add")
      }
    })
  )

  it.effect("accepts a symmetric key only when its publication is accepted, and says why", () =>
    Effect.gen(function* () {
      const jwk = yield* key("HS256")
      const error = yield* refusal(jwk)
      assert.strictEqual(error.code, "PROVISIONER_KEY_SYMMETRIC_REFUSED")
      assert.include(error.message, "publishes this secret at GET /provisioners")
      assert.include(error.remediation, "STEP_CA_ALLOW_SYMMETRIC_KEY=true")
      assert.strictEqual((yield* read(jwk, { allowSymmetric: true })).algorithm, "HS256")
    })
  )

  it.effect("shows neither key nor password", () =>
    Effect.gen(function* () {
      const jwk = yield* key("ES256")
      const provisionerKey = yield* read(jwk)
      const shown = JSON.stringify(provisionerKey) + inspect(provisionerKey)
      assert.notInclude(shown, String(jwk["d"]))
    })
  )
})
