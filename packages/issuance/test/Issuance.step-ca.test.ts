/** The whole path against a real step-ca, and what that CA does with tokens that it must not accept. */
import { execFileSync, spawnSync } from "node:child_process"
import { createPrivateKey, randomBytes } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it, layer } from "@effect/vitest"
import { type Grant, NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { UserId } from "@mosaic-federation/domain/UserId"
import { type Csr, type CsrOptions, type CsrKind, makeCsr } from "@mosaic-federation/testing/Csr"
import { makeProvisionerKey } from "@mosaic-federation/testing/ProvisionerKeys"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { parse } from "@mosaic-federation/x509/CertificateRequest"
import { fromExtensions } from "@mosaic-federation/x509/GrantExtension"
import { grantOids } from "@mosaic-federation/x509/Oid"
import { DateTime, Duration, Effect, Layer, Redacted, Result } from "effect"
import { decodeJwt, decodeProtectedHeader, SignJWT, type JWTPayload } from "jose"
import { GrantRepo } from "../src/GrantRepo.ts"
import { Issuance } from "../src/Issuance.ts"
import { IssuanceConfig } from "../src/IssuanceConfig.ts"
import { PinnedHttpClient } from "../src/PinnedHttpClient.ts"
import { randomSerial } from "../src/randomSerial.ts"
import { StepCa } from "../src/StepCa.ts"
import { TokenDiagnosis } from "../src/TokenDiagnosis.ts"
import { randomJti, TokenSigner } from "../src/TokenSigner.ts"
import { layerConfig, layerRecords } from "./support/issuanceOver.ts"

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")
const oids = Result.getOrThrow(grantOids())

const layerOver = (environment: { readonly [variable: string]: string }) =>
  Issuance.layerNoDeps.pipe(
    Layer.provideMerge(StepCa.layerNoDeps),
    Layer.provideMerge(TokenDiagnosis.layerNoDeps),
    Layer.provideMerge(Layer.mergeAll(PinnedHttpClient.layerNoDeps, TokenSigner.layerNoDeps)),
    Layer.provideMerge(layerConfig(environment))
  )

const layerReal = Layer.unwrap(
  StepCaProcess.use(({ environment }) => Effect.succeed(layerOver(environment)))
).pipe(Layer.provideMerge(layerRecords), Layer.provideMerge(StepCaProcess.layer()))

const makeGrant = (expiresIn: Duration.Input = "30 days") =>
  Effect.gen(function* () {
    const grants = yield* GrantRepo
    return yield* grants.create(
      new NewGrant({
        subjectUserId: userId,
        peer: PeerName.make("gateway.example"),
        scopes: ["orders:read"],
        expiresAt: DateTime.addDuration(yield* DateTime.now, expiresIn)
      })
    )
  })

const issueFor = (
  grant: Pick<Grant, "id">,
  options: {
    readonly csr?: Csr
    readonly kind?: CsrKind
    readonly csrOptions?: CsrOptions
    readonly lifetime?: Duration.Duration
    readonly subjectUserId?: UserId
  } = {}
) =>
  Effect.gen(function* () {
    const issuance = yield* Issuance
    const csr = options.csr ?? (yield* makeCsr(options.kind ?? "P-256", options.csrOptions))
    return yield* issuance.issue(
      new IssueCertRequest({
        grantId: grant.id,
        subjectUserId: options.subjectUserId ?? userId,
        csrPem: csr.pem,
        ...(options.lifetime === undefined ? {} : { lifetime: options.lifetime })
      })
    )
  })

const idsOf = (pem: string) =>
  Result.getOrThrow(fromExtensions(Result.getOrThrow(parseCertificate(pem)).extensions, oids))

const signLines = StepCaProcess.use(({ log }) =>
  Effect.map(log, (text) => text.split("\n").filter((line) => line.includes("/1.0/sign")).length)
)

/** A token with any claims at all, signed with the key that the CA knows. */
const forgeToken = (claims: JWTPayload) =>
  Effect.gen(function* () {
    const { caUrl, provisioner, provisionerKey } = yield* IssuanceConfig
    const now = Math.floor(Date.now() / 1000)
    return yield* Effect.promise(() =>
      new SignJWT({
        iss: provisioner,
        aud: new URL("/1.0/sign", caUrl).href,
        iat: now,
        nbf: now,
        exp: now + 300,
        jti: randomBytes(32).toString("hex"),
        ...claims
      })
        .setProtectedHeader({ alg: provisionerKey.algorithm, kid: provisionerKey.kid })
        .sign(Redacted.value(provisionerKey.privateKey))
    )
  })

const present = (csr: Csr, ott: string) =>
  PinnedHttpClient.use((http) =>
    http.request({ method: "POST", path: "/1.0/sign", body: { csr: csr.pem, ott } })
  )

const goodClaims = (grantId: string): JWTPayload => ({
  sub: grantId,
  sans: [`urn:uuid:${grantId}`],
  mosaic_grant_id: grantId,
  mosaic_subject_user_id: userId,
  mosaic_serial: randomSerial()
})

const anyGrantId = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"

describe("Issuance over a real step-ca", () => {
  layer(layerReal, { excludeTestServices: true })((it) => {
    for (const kind of ["P-256", "P-384", "Ed25519", "RSA 2048"] as const) {
      it.effect(`issues for an ${kind} key`, () =>
        Effect.gen(function* () {
          const grant = yield* makeGrant()
          const issued = yield* issueFor(grant, { kind })
          assert.deepStrictEqual(idsOf(issued.certificate), { grantId: grant.id, subjectUserId: userId })
          const records = yield* GrantRepo.use((grants) => grants.certificates({ grantId: grant.id }))
          assert.deepStrictEqual(
            records.map(({ fullChainPem, serial, state }) => [state, serial, fullChainPem]),
            [["issued", issued.serial, issued.fullChainPem]]
          )
        })
      )
    }

    it.effect("agrees with openssl and step about what it issued", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const grant = yield* makeGrant()
        const issued = yield* issueFor(grant)
        const { step } = yield* stepTools()
        const directory = mkdtempSync(join(tmpdir(), "mosaic-verify-"))
        const leaf = join(directory, "leaf.pem")
        const chain = join(directory, "chain.pem")
        writeFileSync(leaf, issued.certificate)
        writeFileSync(chain, issued.chain.join(""))
        const verified = execFileSync(
          "openssl",
          ["verify", "-CAfile", ca.rootPath, "-untrusted", chain, "-purpose", "sslclient", leaf],
          { encoding: "utf8" }
        )
        assert.include(verified, ": OK")
        const text = execFileSync("openssl", ["x509", "-in", leaf, "-noout", "-text", "-serial"], {
          encoding: "utf8"
        })
        assert.include(
          text,
          `serial=${BigInt(issued.serial).toString(16).toUpperCase().padStart(2, "0")}`.replace("serial=", "")
        )
        const inspected = JSON.parse(
          execFileSync(step.path, ["certificate", "inspect", "--format", "json", leaf], { encoding: "utf8" })
        ) as {
          readonly serial_number: string
          readonly unknown_extensions: ReadonlyArray<{
            readonly id: string
            readonly value: string
            readonly critical?: boolean
          }>
        }
        assert.strictEqual(inspected.serial_number, issued.serial)
        const extension = (oid: string) => {
          const value = inspected.unknown_extensions.find(({ id }) => id === oid)?.value ?? ""
          return Buffer.from(value, "base64").toString("latin1")
        }
        assert.strictEqual(extension(oids.grantId), `\u000c$${grant.id}`)
        assert.strictEqual(extension(oids.subjectUserId), `\u000c$${userId}`)
        rmSync(directory, { recursive: true })
      })
    )

    it.effect("gives the whole of the longest lifetime, and of a grant's end no second more", () =>
      Effect.gen(function* () {
        const longest = yield* issueFor(yield* makeGrant(), { lifetime: Duration.hours(24) })
        assert.isAbove(DateTime.toEpochMillis(longest.notAfter) - Date.now(), 24 * 3_600_000 - 60_000)
        const grant = yield* makeGrant("10 minutes")
        const short = yield* issueFor(grant)
        assert.isAtMost(DateTime.toEpochMillis(short.notAfter), DateTime.toEpochMillis(grant.expiresAt))
        assert.isAbove(
          DateTime.toEpochMillis(short.notAfter),
          DateTime.toEpochMillis(grant.expiresAt) - 2_000
        )
      })
    )

    it.effect("ignores what the CSR asks for, and a subject and name that are the grant's own", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant()
        const issued = yield* issueFor(grant, {
          csrOptions: {
            commonName: grant.id,
            uris: [`urn:uuid:${grant.id}`],
            asCa: true
          }
        })
        assert.strictEqual(idsOf(issued.certificate).grantId, grant.id)
      })
    )

    it.effect("refuses before any HTTP call what the request or the grant do not allow", () =>
      Effect.gen(function* () {
        const grants = yield* GrantRepo
        const grant = yield* makeGrant()
        const revoked = yield* makeGrant()
        yield* grants.revoke(revoked.id, "key lost")
        const expired = yield* makeGrant("-1 second")
        const ending = yield* makeGrant("4 minutes")
        const tenMinutes = yield* makeGrant("10 minutes")
        const unknown = { id: GrantId.make(anyGrantId) }
        const good = yield* makeCsr("P-256")
        const otherUser = UserId.make(anyGrantId)
        const tampered = { ...good, pem: yield* tamper(good.pem) }
        const before = yield* signLines
        const cases: ReadonlyArray<readonly [ReturnType<typeof issueFor>, string, string, string]> = [
          [
            issueFor(grant, { csr: { ...good, pem: "garbage" } }),
            "CSR_MALFORMED",
            "there is no PEM block",
            "openssl req -new"
          ],
          [
            issueFor(grant, { csr: { ...good, pem: " ".repeat(20_000) } }),
            "CSR_TOO_LARGE",
            "20000 bytes, at most 16384",
            "openssl req -new"
          ],
          [
            issueFor(grant, { csr: tampered }),
            "CSR_SIGNATURE_INVALID",
            "does not verify",
            "openssl req -verify"
          ],
          [
            issueFor(grant, { kind: "P-521" }),
            "CSR_KEY_REFUSED",
            "EC P-521 is not accepted",
            "openssl req -new"
          ],
          [
            issueFor(grant, { kind: "secp256k1" }),
            "CSR_KEY_REFUSED",
            "EC secp256k1 is not accepted",
            "openssl req -new"
          ],
          [
            issueFor(grant, { kind: "RSA 1024" }),
            "CSR_KEY_REFUSED",
            "RSA 1024 is not accepted",
            "openssl req -new"
          ],
          [
            issueFor(grant, { kind: "Ed448" }),
            "CSR_KEY_REFUSED",
            "Ed448 is not accepted",
            "openssl req -new"
          ],
          [
            issueFor(grant, { csrOptions: { commonName: "somebody" } }),
            "CSR_SUBJECT_MISMATCH",
            "found CN=somebody",
            "-subj /"
          ],
          [
            issueFor(grant, { csrOptions: { dnsNames: ["example.com"] } }),
            "CSR_SAN_MISMATCH",
            "found DNS:example.com",
            "-subj /"
          ],
          [issueFor(unknown), "GRANT_NOT_FOUND", `no grant ${anyGrantId}`, "grant list"],
          [issueFor(revoked), "GRANT_REVOKED", "key lost", "grant create"],
          [issueFor(expired), "GRANT_EXPIRED", `grant ${expired.id} expired at`, "grant create"],
          [issueFor(ending), "GRANT_TOO_SHORT", "the shortest certificate lives 5m", "MOSAIC_CERT_MIN"],
          [
            issueFor(grant, { lifetime: Duration.hours(25) }),
            "LIFETIME_TOO_LONG",
            "asked for 25h, at most 24h",
            "--lifetime 24h"
          ],
          [
            issueFor(grant, { lifetime: Duration.seconds(1) }),
            "LIFETIME_TOO_SHORT",
            "asked for 1s, at least 5m",
            "--lifetime 5m"
          ],
          [
            issueFor(tenMinutes, { lifetime: Duration.hours(1) }),
            "LIFETIME_BEYOND_GRANT",
            "asked for 1h, but grant",
            "leave --lifetime out"
          ],
          [
            issueFor(grant, { subjectUserId: otherUser }),
            "GRANT_SUBJECT_MISMATCH",
            `does not act for user ${otherUser}`,
            "subject user id"
          ]
        ]
        for (const [issuing, code, message, remediation] of cases) {
          const error = yield* Effect.flip(issuing)
          assert.strictEqual(error.code, code)
          assert.include(error.message, message)
          assert.include(error.remediation, remediation)
        }
        assert.strictEqual(yield* signLines, before)
        assert.deepStrictEqual(yield* grants.certificates({ grantId: grant.id }), [])
      })
    )

    it.effect("signs a token whose claims say everything and no more", () =>
      Effect.gen(function* () {
        const signer = yield* TokenSigner
        const { provisionerKey } = yield* IssuanceConfig
        const csr = Result.getOrThrow(parse((yield* makeCsr("P-256")).pem))
        const serial = randomSerial()
        const claims = {
          grantId: GrantId.make(anyGrantId),
          subjectUserId: userId,
          serial,
          csrSha256: csr.sha256Hex
        }
        const tokens = [
          yield* signer.forSigning(claims, randomJti()),
          yield* signer.forSigning(claims, randomJti())
        ]
        const [payload, other] = tokens.map(({ value }) => decodeJwt(Redacted.value(value)))
        const { caUrl } = yield* IssuanceConfig
        const { exp = 0, iat = 0, jti = "", nbf, ...rest } = payload ?? {}
        assert.deepStrictEqual(rest, {
          iss: "mosaic-fed",
          aud: `${caUrl.origin}/1.0/sign`,
          sub: anyGrantId,
          sans: [`urn:uuid:${anyGrantId}`],
          mosaic_grant_id: anyGrantId,
          mosaic_subject_user_id: userId,
          mosaic_serial: serial,
          step: { sha: csr.sha256Hex },
          cnf: { "x5rt#S256": csr.sha256Base64Url }
        })
        assert.deepStrictEqual([exp - iat, nbf], [300, iat])
        assert.isAtMost(Math.abs(iat - Date.now() / 1000), 60)
        assert.strictEqual(Buffer.from(jti, "base64url").length, 32)
        assert.notStrictEqual(jti, other?.jti)
        assert.deepStrictEqual(decodeProtectedHeader(Redacted.value(tokens[0]?.value ?? Redacted.make(""))), {
          alg: "ES256",
          kid: provisionerKey.kid,
          typ: "JWT"
        })
        assert.notInclude(
          JSON.stringify(tokens),
          jti.slice(0, 0) + Redacted.value(tokens[0]?.value ?? Redacted.make("")).slice(-20)
        )
      })
    )

    it.effect("has another CSR under a bound token refused by the CA", () =>
      Effect.gen(function* () {
        const csr = yield* makeCsr("P-256")
        const signed = Result.getOrThrow(parse(csr.pem))
        const signer = yield* TokenSigner
        const token = yield* signer.forSigning(
          {
            grantId: GrantId.make(anyGrantId),
            subjectUserId: userId,
            serial: randomSerial(),
            csrSha256: signed.sha256Hex
          },
          randomJti()
        )
        const refused = yield* present(yield* makeCsr("P-256"), Redacted.value(token.value))
        assert.strictEqual(refused.status, 403)
        assert.match(JSON.stringify(refused.body), /fingerprint/)
      })
    )

    it.effect("has a reused token refused, and proves that it was reused", () =>
      Effect.gen(function* () {
        const diagnosis = yield* TokenDiagnosis
        const signer = yield* TokenSigner
        const csr = yield* makeCsr("P-256")
        const { sha256Hex } = Result.getOrThrow(parse(csr.pem))
        const token = yield* signer.forSigning(
          {
            grantId: GrantId.make(anyGrantId),
            subjectUserId: userId,
            serial: randomSerial(),
            csrSha256: sha256Hex
          },
          randomJti()
        )
        assert.strictEqual((yield* present(csr, Redacted.value(token.value))).status, 201)
        const response = yield* present(csr, Redacted.value(token.value))
        assert.strictEqual(response.status, 401)
        const error = yield* Effect.flip(diagnosis.explain({ token, response, reused: true }))
        assert.strictEqual(error.code, "CA_TOKEN_REUSED")
        assert.include(error.message, 'the token\'s "jti" was presented to the CA before (X-Request-Id ')
        assert.include(error.remediation, "every issuance makes a fresh token")
      })
    )

    const template: ReadonlyArray<readonly [string, JWTPayload, RegExp]> = [
      ["no grant id", { mosaic_grant_id: undefined }, /claim mosaic_grant_id is absent/],
      ["a grant id that is a number", { mosaic_grant_id: 7 }, /claim mosaic_grant_id is not a string/],
      [
        "a grant id in upper case",
        { mosaic_grant_id: anyGrantId.toUpperCase() },
        /claim mosaic_grant_id is not a canonical/
      ],
      [
        "a grant id with a line break after it",
        { mosaic_grant_id: `${anyGrantId}\n` },
        /claim mosaic_grant_id is not a canonical/
      ],
      [
        "a grant id with quotes in it",
        { mosaic_grant_id: `"${anyGrantId.slice(2)}"` },
        /claim mosaic_grant_id is not a canonical/
      ],
      ["no subject user id", { mosaic_subject_user_id: undefined }, /claim mosaic_subject_user_id is absent/],
      [
        "a null subject user id",
        { mosaic_subject_user_id: null },
        /claim mosaic_subject_user_id is (absent|not a string)/
      ],
      [
        "a short subject user id",
        { mosaic_subject_user_id: "abc" },
        /claim mosaic_subject_user_id is not a canonical/
      ],
      ["no serial", { mosaic_serial: undefined }, /claim mosaic_serial is absent/],
      ["a serial that is a number", { mosaic_serial: 12_345_678 }, /claim mosaic_serial is not a string/],
      ["serial 0", { mosaic_serial: "0" }, /claim mosaic_serial is not a positive/],
      ["a negative serial", { mosaic_serial: `-${randomSerial()}` }, /claim mosaic_serial is not a positive/],
      ["a serial of 40 digits", { mosaic_serial: "1".repeat(40) }, /claim mosaic_serial is not a positive/],
      ["another sub than the grant id", { sub: "somebody", sans: ["somebody"] }, /claim sub differs/]
    ]
    for (const [what, claims, message] of template) {
      it.effect(`has the template refuse ${what}`, () =>
        Effect.gen(function* () {
          const token = yield* forgeToken({ ...goodClaims(anyGrantId), ...claims })
          const response = yield* present(yield* makeCsr("P-256"), token)
          assert.strictEqual(response.status, 400)
          assert.match(JSON.stringify(response.body), message)
        })
      )
    }

    it.effect("revokes a serial that was never signed, and one that is revoked already", () =>
      Effect.gen(function* () {
        const ca = yield* StepCa
        const serial = randomSerial()
        yield* ca.revoke(serial, "never signed")
        yield* ca.revoke(serial, "again")
      })
    )

    it.effect("has renewal by the CA itself refused", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const csr = yield* makeCsr("P-256")
        const issued = yield* issueFor(yield* makeGrant(), { csr })
        const { step } = yield* stepTools()
        const directory = mkdtempSync(join(tmpdir(), "mosaic-renew-"))
        const [crt, key] = [join(directory, "a.crt"), join(directory, "a.key")]
        writeFileSync(crt, issued.fullChainPem)
        writeFileSync(key, createPrivateKey(csr.privateKeyPem).export({ type: "pkcs8", format: "pem" }), {
          mode: 0o600
        })
        const renewed = spawnSync(
          step.path,
          ["ca", "renew", "--force", "--ca-url", ca.url, "--root", ca.rootPath, crt, key],
          { encoding: "utf8" }
        )
        assert.notStrictEqual(renewed.status, 0)
        assert.match(renewed.stderr, /lacked necessary authorization/)
        rmSync(directory, { recursive: true })
      })
    )
  })
})

/** Another public key in place of the one that signed. */
const tamper = (pem: string) =>
  Effect.sync(() => {
    const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64")
    const last = der.length - 1
    der[last] = (der[last] ?? 0) ^ 1
    return `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`
  })

describe("Issuance with provisioner keys of each kind", () => {
  for (const kind of ["RS256", "EdDSA", "ES384", "HS256"] as const) {
    it.live(`issues with a provisioner that signs ${kind}`, () =>
      Effect.gen(function* () {
        const provisionerKey = yield* Effect.promise(() => makeProvisionerKey(kind))
        const ca = yield* StepCaProcess.make({
          provisionerKey,
          ...(kind === "HS256" ? { env: { STEP_CA_ALLOW_SYMMETRIC_KEY: "true" } } : {})
        })
        const environment = {
          ...ca.environment,
          ...(kind === "HS256" ? { STEP_CA_ALLOW_SYMMETRIC_KEY: "true" } : {})
        }
        yield* Effect.gen(function* () {
          const grant = yield* makeGrant()
          const issued = yield* issueFor(grant)
          assert.deepStrictEqual(idsOf(issued.certificate), { grantId: grant.id, subjectUserId: userId })
        }).pipe(Effect.provide(layerOver(environment).pipe(Layer.provideMerge(layerRecords))))
      })
    )
  }
})

describe("The plain template of the specification", () => {
  it.live("signs what ours refuses, and the program withholds it", () =>
    Effect.gen(function* () {
      const plain = readFileSync(fileURLToPath(new URL("fixtures/plain.tpl", import.meta.url)), "utf8")
      const ca = yield* StepCaProcess.make({ federationTemplate: plain })
      yield* Effect.gen(function* () {
        const token = yield* forgeToken({ sub: "somebody", sans: ["somebody"] })
        const response = yield* present(yield* makeCsr("P-256"), token)
        assert.strictEqual(response.status, 201)
        const { crt } = response.body as { readonly crt: string }
        const extensions = Result.getOrThrow(parseCertificate(crt)).extensions
        const value = Buffer.from(extensions.find(({ oid }) => oid === oids.grantId)?.value ?? [])
        assert.strictEqual(value.toString("latin1"), "\u000c$%!s(<nil>)")

        const grant = yield* makeGrant()
        const error = yield* Effect.flip(issueFor(grant))
        assert.strictEqual(error.code, "CERTIFICATE_WITHHELD")
        assert.match(error.message, /serialNumber: expected \d+, found \d+/)
        assert.include(error.message, "is revoked at the CA")
      }).pipe(Effect.provide(layerOver(ca.environment).pipe(Layer.provideMerge(layerRecords))))
    })
  )
})
