/** What a CA that init.sh set up shows to everyone, and what its provisioner mosaic-gateway signs and refuses. */
import { randomBytes, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { request } from "node:https"
import { assert, describe, layer } from "@effect/vitest"
import "reflect-metadata"
import * as x509 from "@peculiar/x509"
import { Effect } from "effect"
import { importJWK, type JWTPayload, SignJWT } from "jose"
import { type CsrOptions, makeCsr } from "../src/Csr.ts"
import { type ProvisionerFiles, type StepCaShape, StepCaProcess } from "../src/StepCaProcess.ts"
import { type CaConfig, openKey, provisionerOf } from "./support/initScript.ts"

interface Answer {
  readonly status: number
  readonly body: string
}

const ask = (ca: StepCaShape, path: string, body?: object) =>
  Effect.promise(
    () =>
      new Promise<Answer>((resolve, reject) => {
        const asked = request(
          `${ca.url}${path}`,
          { method: body === undefined ? "GET" : "POST", ca: ca.rootPem, agent: false },
          (response) => {
            let text = ""
            response.setEncoding("utf8").on("data", (part: string) => (text += part))
            response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }))
          }
        )
        asked.once("error", reject).end(body === undefined ? undefined : JSON.stringify(body))
      })
  )

const grantClaims = {
  mosaic_grant_id: "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
  mosaic_subject_user_id: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  mosaic_serial: "12345678901234567890123456789012345678"
}

/** Asks the CA for a certificate with the key of this provisioner and these claims. */
const signWith = Effect.fnUntraced(function* (
  ca: StepCaShape,
  provisioner: ProvisionerFiles,
  claims: JWTPayload,
  csrOptions: CsrOptions = {}
) {
  const jwk = yield* openKey(provisioner.keyPath, readFileSync(provisioner.passwordPath, "utf8"))
  const now = Math.floor(Date.now() / 1000)
  const ott = yield* Effect.promise(async () =>
    new SignJWT({
      iss: provisioner.name,
      aud: `${ca.url}/1.0/sign`,
      iat: now,
      nbf: now,
      exp: now + 300,
      jti: randomBytes(32).toString("hex"),
      ...claims
    })
      .setProtectedHeader({ alg: "ES256", kid: jwk.kid ?? "" })
      .sign(await importJWK(jwk, "ES256"))
  )
  const csr = yield* makeCsr("P-256", csrOptions)
  return yield* ask(ca, "/1.0/sign", {
    csr: csr.pem,
    ott,
    templateData: {
      mosaicGatewayNames: { "evil.example": "dns" },
      extensions: [{ id: "1.2.3", value: "BQA=" }]
    }
  })
})

const leafOf = ({ body, status }: Answer) => {
  assert.strictEqual(status, 201, body)
  const { crt } = JSON.parse(body) as { readonly crt: string }
  return new x509.X509Certificate(crt)
}

/** X.509 extensions of a server certificate (RFC 5280 §4.2.1), and step-ca's own for its provisioner. */
const serverExtensions = [
  "1.3.6.1.4.1.37476.9000.64.1",
  "2.5.29.14",
  "2.5.29.15",
  "2.5.29.17",
  "2.5.29.35",
  "2.5.29.37"
]

describe("a CA that init.sh set up", () => {
  layer(StepCaProcess.layer({ env: { MOSAIC_GATEWAY_NAMES: "gateway.example,localhost,127.0.0.1,::1" } }), {
    excludeTestServices: true
  })((it) => {
    it.effect("shows no encryptedKey to anyone", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const { body, status } = yield* ask(ca, "/provisioners")
        assert.strictEqual(status, 200)
        const { provisioners } = JSON.parse(body) as CaConfig["authority"]
        assert.deepStrictEqual(
          provisioners.map(({ name }) => name),
          ["mosaic-fed", "mosaic-gateway"]
        )
        assert.notInclude(body, "encryptedKey")
        for (const { keyPath } of [ca.provisioner, ca.gatewayProvisioner]) {
          assert.notInclude(body, readFileSync(keyPath, "utf8"))
        }
        for (const { key } of provisioners) {
          assert.hasAllKeys(key, ["alg", "crv", "kid", "kty", "use", "x", "y"])
          const sealed = yield* ask(ca, `/provisioners/${key.kid}/encrypted-key`)
          assert.notInclude(sealed.body, "eyJ")
          assert.strictEqual(sealed.status, 404)
        }
      })
    )

    it.effect("shows that renewal is off, and the durations, to whoever checks", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const { provisioners } = JSON.parse((yield* ask(ca, "/provisioners")).body) as CaConfig["authority"]
        const authority = { authority: { provisioners } }
        assert.deepInclude(provisionerOf(authority, "mosaic-fed").claims, {
          disableRenewal: true,
          minTLSCertDuration: "5m0s",
          maxTLSCertDuration: "24h0m0s"
        })
        assert.strictEqual(provisionerOf(authority, "mosaic-gateway").claims["disableRenewal"], true)
      })
    )

    it.effect("signs a grant with the key that was moved out of ca.json", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const id = grantClaims.mosaic_grant_id
        const claims = { sub: id, sans: [`urn:uuid:${id}`], ...grantClaims }
        const leaf = leafOf(yield* signWith(ca, ca.provisioner, claims))
        assert.strictEqual(leaf.subject, `CN=${id}`)
      })
    )

    it.effect("signs a server certificate for mosaic-gateway, whatever else is asked for", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const names = ["gateway.example", "localhost", "127.0.0.1", "::1"]
        const answer = yield* signWith(ca, ca.gatewayProvisioner, {
          sub: "gateway.example",
          sans: names,
          ...grantClaims,
          extensions: [{ id: "1.3.6.1.4.1.99999.1", value: "DCQ=" }]
        })
        const leaf = leafOf(answer)
        assert.deepStrictEqual(leaf.extensions.map(({ type }) => type).sort(), serverExtensions)
        assert.notInclude(leaf.toString("hex"), Buffer.from(grantClaims.mosaic_grant_id).toString("hex"))
        assert.deepStrictEqual(leaf.getExtension(x509.ExtendedKeyUsageExtension)?.usages, [
          x509.ExtendedKeyUsage.serverAuth
        ])
        assert.strictEqual(
          leaf.getExtension(x509.KeyUsagesExtension)?.usages,
          x509.KeyUsageFlags.digitalSignature
        )
        const node = new X509Certificate(leaf.toString("pem"))
        assert.strictEqual(node.subject, "CN=gateway.example")
        assert.strictEqual(
          node.subjectAltName,
          "DNS:gateway.example, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"
        )
        assert.isFalse(node.ca)
      })
    )

    it.effect("makes no CA of a CSR that asks for one", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const claims = { sub: "localhost" }
        const leaf = leafOf(yield* signWith(ca, ca.gatewayProvisioner, claims, { asCa: true }))
        assert.deepStrictEqual(leaf.extensions.map(({ type }) => type).sort(), serverExtensions)
      })
    )

    const refusals: ReadonlyArray<readonly [string, JWTPayload, RegExp]> = [
      ["another name", { sub: "evil.example" }, /claim sub is not one of MOSAIC_GATEWAY_NAMES/],
      [
        "another name beside its own",
        { sub: "localhost", sans: ["localhost", "evil.example"] },
        /claim sans holds a name that is not one of MOSAIC_GATEWAY_NAMES/
      ],
      [
        "a name below one of its own",
        { sub: "a.gateway.example" },
        /claim sub is not one of MOSAIC_GATEWAY_NAMES/
      ],
      ["a wildcard", { sub: "*.example" }, /claim sub is not one of MOSAIC_GATEWAY_NAMES/],
      [
        "a grant's URI",
        { sub: "localhost", sans: [`urn:uuid:${grantClaims.mosaic_grant_id}`] },
        /claim sans holds a name that is not one of MOSAIC_GATEWAY_NAMES/
      ],
      [
        "a grant",
        { sub: grantClaims.mosaic_grant_id, ...grantClaims },
        /claim sub is not one of MOSAIC_GATEWAY_NAMES/
      ]
    ]
    for (const [what, claims, why] of refusals) {
      it.effect(`refuses ${what} under mosaic-gateway`, () =>
        Effect.gen(function* () {
          const ca = yield* StepCaProcess
          const { body, status } = yield* signWith(ca, ca.gatewayProvisioner, claims)
          assert.strictEqual(status, 400)
          assert.match(body, why)
        })
      )
    }

    it.effect("takes a grant under mosaic-fed from mosaic-fed's key alone", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const id = grantClaims.mosaic_grant_id
        const other = { ...ca.gatewayProvisioner, name: ca.provisioner.name }
        const { status } = yield* signWith(ca, other, { sub: id, sans: [`urn:uuid:${id}`], ...grantClaims })
        assert.strictEqual(status, 401)
      })
    )
  })
})
