/** The next certificate for the one that a peer has: over a real step-ca, with loops and proofs that must not work. */
import { createHash, generateKeyPairSync, randomUUID } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { CertificateLedger } from "@mosaic-federation/issuance/CertificateLedger"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { RenewalRepo } from "@mosaic-federation/issuance/RenewalRepo"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { DateTime, Duration, Effect, Layer, Result } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { CompactSign } from "jose"
import { Enrollment } from "../src/peer/Enrollment.ts"
import { EnrollmentTokens } from "../src/peer/EnrollmentTokens.ts"
import { PeerIdentity } from "../src/peer/PeerIdentity.ts"
import { Renewal } from "../src/peer/Renewal.ts"
import { makeRenewalProof, RenewalProof } from "../src/peer/RenewalProof.ts"
import { enrolledPeer } from "./support/enrolledPeer.ts"
import { layerGateway } from "./support/gatewayOver.ts"

const TestLayer = Layer.mergeAll(
  EnrollmentTokens.layerNoDeps,
  Enrollment.layerNoDeps,
  PeerIdentity.layerNoDeps,
  Renewal.layerNoDeps,
  RenewalProof.layerNoDeps
).pipe(
  Layer.provideMerge(Layer.mergeAll(CertificateLedger.layerNoDeps, RenewalRepo.layerNoDeps)),
  Layer.provideMerge(layerGateway())
)

const renew = Effect.fnUntraced(function* (der: Uint8Array, csrPem: string) {
  const identity = yield* PeerIdentity.use((peers) => peers.identify(der))
  return yield* Renewal.use((renewal) => renewal.renew(identity, csrPem))
})

const audience = "https://gateway.example:8443/v1/renew"
const body = Buffer.from('{"csr":"..."}')

const verify = (proof: string, request: { readonly body?: Uint8Array; readonly audience?: string } = {}) =>
  RenewalProof.use((proofs) => proofs.verify({ proof, body, audience, ...request }))

describe("Renewal", () => {
  layer(TestLayer, { timeout: "120 seconds", excludeTestServices: true })((it) => {
    it.effect("issues for a new key, and the certificate before stays good until its own end", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const csr = yield* makeCsr("Ed25519")
        const issued = yield* renew(peer.certificate.der, csr.pem)
        const renewed = Result.getOrThrow(parseCertificate(issued.certificate))
        assert.notStrictEqual(issued.serial, peer.issued.serial)
        assert.strictEqual(renewed.publicKey.description, "Ed25519")
        const peers = yield* PeerIdentity
        yield* peers.identify(renewed.der)
        yield* peers.identify(peer.certificate.der)
      })
    )

    it.effect("names the loop of a client that renews what it just got", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer({ minutes: 0 })
        const error = yield* Effect.flip(renew(peer.certificate.der, (yield* makeCsr("P-256")).pem))
        assert.strictEqual(error.code, "RENEWAL_TOO_SOON")
        assert.match(error.message, /^renewal loop: certificate \d+ was issued at .* within 1m; not before /)
        assert.include(error.remediation, "make the client use its newest certificate")
      })
    )

    it.effect("names the loop of a client that never uses what it gets", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const first = yield* renew(peer.certificate.der, (yield* makeCsr("P-256")).pem)
        const error = yield* Effect.flip(renew(peer.certificate.der, (yield* makeCsr("P-256")).pem))
        assert.strictEqual(error.code, "RENEWAL_TOO_SOON")
        assert.include(error.message, `was renewed by ${first.serial} at`)
        assert.include(error.remediation, "make the client use its newest certificate")
        // A minute later it may be that the client lost it.
        yield* SqlClient.use(
          (sql) => sql`
            UPDATE federation_certificates SET requested_at = requested_at - interval '61 s'
            WHERE serial = ${first.serial}`
        )
        yield* renew(peer.certificate.der, (yield* makeCsr("P-256")).pem)
      })
    )

    it.effect("renews once when many ask at once", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const csrs = yield* Effect.all(Array.from({ length: 8 }, () => makeCsr("P-256")))
        const answers = yield* Effect.forEach(
          csrs,
          ({ pem }) => Effect.result(renew(peer.certificate.der, pem)),
          { concurrency: "unbounded" }
        )
        const issued = answers.filter(Result.isSuccess).map(({ success }) => success.serial)
        const refused = answers.filter(Result.isFailure).map(({ failure }) => failure)
        assert.strictEqual(issued.length, 1)
        assert.deepStrictEqual(new Set(refused.map(({ code }) => code)), new Set(["RENEWAL_TOO_SOON"]))
        for (const { message } of refused) assert.include(message, `was renewed by ${issued[0]} at`)
      })
    )

    it.effect("gives nothing for a certificate that is revoked after it was shown", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const { serial } = peer.issued
        const identity = yield* PeerIdentity.use((peers) => peers.identify(peer.certificate.der))
        yield* CertificateLedger.use((ledger) => ledger.revoke(serial, "the key was copied"))
        const renewal = yield* Renewal
        const error = yield* Effect.flip(renewal.renew(identity, (yield* makeCsr("P-256")).pem))
        assert.strictEqual(error.code, "PEER_CERTIFICATE_REVOKED")
        assert.include(error.message, `certificate ${serial} was revoked at`)
        const certificates = yield* GrantRepo.use((grants) => grants.certificates({ grantId: peer.grant.id }))
        assert.deepStrictEqual(
          certificates.map((one) => one.serial),
          [serial]
        )
      })
    )

    it.effect("runs the whole grant check again", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const named = yield* makeCsr("P-256", { commonName: "somebody-else" })
        assert.strictEqual(
          (yield* Effect.flip(renew(peer.certificate.der, named.pem))).code,
          "CSR_SUBJECT_MISMATCH"
        )
        yield* GrantRepo.use((grants) => grants.revoke(peer.grant.id, "over"))
        assert.strictEqual(
          (yield* Effect.flip(renew(peer.certificate.der, (yield* makeCsr("P-256")).pem))).code,
          "GRANT_REVOKED"
        )
      })
    )

    for (const kind of ["P-256", "P-384", "Ed25519", "RSA 2048"] as const) {
      it.effect(`takes a proof of a ${kind} key once`, () =>
        Effect.gen(function* () {
          const peer = yield* enrolledPeer({ kind })
          const proof = yield* makeRenewalProof({
            key: peer.key,
            certificateDer: peer.certificate.der,
            body,
            audience,
            now: yield* DateTime.now
          })
          assert.deepStrictEqual(Buffer.from(yield* verify(proof)), Buffer.from(peer.certificate.der))
          const replayed = yield* Effect.flip(verify(proof))
          assert.strictEqual(replayed.code, "RENEWAL_PROOF_REPLAYED")
          assert.include(replayed.remediation, "try again with a new proof")
        })
      )
    }

    it.effect("refuses a proof for another body, another URL, another minute or another key", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const now = yield* DateTime.now
        const good = { key: peer.key, certificateDer: peer.certificate.der, body, audience, now }
        const cases = [
          [yield* makeRenewalProof(good), { body: Buffer.from("{}") }, "body_sha256"],
          [yield* makeRenewalProof(good), { audience: "https://other.example/v1/renew" }, "aud: expected"],
          [
            yield* makeRenewalProof({
              ...good,
              key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
            }),
            {},
            "the signature is not of the certificate's key"
          ],
          ["a.b", {}, "this is no JWS in compact form"],
          [`${Buffer.from('{"alg":"ES256"}').toString("base64url")}.e30.AA`, {}, "x5c: the header shows"]
        ] as const
        for (const [proof, request, problem] of cases) {
          const error = yield* Effect.flip(verify(proof, request))
          assert.strictEqual(error.code, "RENEWAL_PROOF_INVALID")
          assert.include(error.message, problem)
          assert.include(error.remediation, "make one proof for each request")
        }
        // A minute is allowed for; a few seconds may pass until it is looked at.
        for (const off of [Duration.seconds(-61), Duration.seconds(70)]) {
          const proof = yield* makeRenewalProof({
            ...good,
            now: DateTime.addDuration(yield* DateTime.now, off)
          })
          const error = yield* Effect.flip(verify(proof))
          assert.strictEqual(error.code, "RENEWAL_PROOF_STALE")
          assert.include(error.remediation, "set this machine's clock (date -u)")
        }
      })
    )

    it.effect("takes no algorithm from the header that is not the key's", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const claims = {
          aud: audience,
          iat: Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1000),
          jti: randomUUID(),
          body_sha256: createHash("sha256").update(body).digest("base64url")
        }
        const x5c = [Buffer.from(peer.certificate.der).toString("base64")]
        const payload = Buffer.from(JSON.stringify(claims))
        const symmetric = yield* Effect.promise(() =>
          new CompactSign(payload)
            .setProtectedHeader({ alg: "HS256", x5c })
            .sign(peer.certificate.publicKey.spki)
        )
        const none = `${Buffer.from(JSON.stringify({ alg: "none", x5c })).toString("base64url")}.${payload.toString("base64url")}.`
        for (const proof of [symmetric, none]) {
          const error = yield* Effect.flip(verify(proof))
          assert.strictEqual(error.code, "RENEWAL_PROOF_INVALID")
          assert.include(error.remediation, "make one proof for each request")
        }
      })
    )
  })
})
