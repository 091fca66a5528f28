/** Certificates of a real step-ca, judged as a relying party that knows ledger and grant: each refusal has its code. */
import { assert, describe, layer } from "@effect/vitest"
import { CertificateLedger } from "@mosaic-federation/issuance/CertificateLedger"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { parseCertificate, parseCertificates } from "@mosaic-federation/x509/Certificate"
import { DateTime, Effect, Layer, Result } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Enrollment } from "../src/peer/Enrollment.ts"
import { EnrollmentTokens } from "../src/peer/EnrollmentTokens.ts"
import { judge, PeerIdentity } from "../src/peer/PeerIdentity.ts"
import { enrolledPeer } from "./support/enrolledPeer.ts"
import { layerGateway } from "./support/gatewayOver.ts"

const TestLayer = Layer.mergeAll(
  EnrollmentTokens.layerNoDeps,
  Enrollment.layerNoDeps,
  PeerIdentity.layerNoDeps
).pipe(Layer.provideMerge(CertificateLedger.layerNoDeps), Layer.provideMerge(layerGateway()))

const identify = (der: Uint8Array) => PeerIdentity.use((identity) => identity.identify(der))

describe("PeerIdentity", () => {
  layer(TestLayer, { timeout: "120 seconds", excludeTestServices: true })((it) => {
    it.effect("knows grant, user, peer, scopes and certificate", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const identity = yield* identify(peer.certificate.der)
        assert.deepStrictEqual(identity.grant, peer.grant)
        assert.strictEqual(identity.record.serial, peer.issued.serial)
        assert.strictEqual(identity.certificate.fingerprintSha256, peer.certificate.fingerprintSha256)
      })
    )

    it.effect("refuses what is no grant certificate", () =>
      Effect.gen(function* () {
        const root = yield* makeRoot("Somebody's Root CA")
        const { cert } = yield* makeServerIdentity(root, { names: ["peer.example"], purpose: "clientAuth" })
        const [stranger] = Result.getOrThrow(parseCertificates(cert))
        assert.isDefined(stranger)
        for (const der of [stranger?.der ?? Uint8Array.of(), Uint8Array.of(0x30, 0)]) {
          const error = yield* Effect.flip(identify(der))
          assert.strictEqual(error.code, "PEER_CERTIFICATE_NOT_A_GRANT")
          assert.include(error.remediation, "show the certificate that enroll wrote")
        }
      })
    )

    it.effect("refuses a certificate that the ledger does not know, whoever signed it", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const sql = yield* SqlClient
        yield* sql`
          UPDATE federation_certificates SET fingerprint_sha256 = ${"0".repeat(64)} WHERE serial = ${peer.issued.serial}`
        const other = yield* Effect.flip(identify(peer.certificate.der))
        assert.strictEqual(other.code, "PEER_CERTIFICATE_UNKNOWN")
        assert.include(other.remediation, "ask the grantor for an enrollment token and enroll again")
        yield* sql`DELETE FROM federation_certificates WHERE serial = ${peer.issued.serial}`
        const gone = yield* Effect.flip(identify(peer.certificate.der))
        assert.strictEqual(gone.code, "PEER_CERTIFICATE_UNKNOWN")
      })
    )

    it.effect("refuses a revoked certificate while its grant lives on", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        yield* SqlClient.use(
          (sql) => sql`
            UPDATE federation_certificates SET revoked_at_ca = now() WHERE serial = ${peer.issued.serial}`
        )
        const error = yield* Effect.flip(identify(peer.certificate.der))
        assert.strictEqual(error.code, "PEER_CERTIFICATE_REVOKED")
        assert.include(error.remediation, "ask the grantor for an enrollment token and enroll again")
      })
    )

    it.effect("refuses a certificate from its revocation on, while the CA has yet to follow", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const { serial } = peer.issued
        yield* CertificateLedger.use((ledger) => ledger.revoke(serial, "the key was copied"))
        const [record] = yield* GrantRepo.use((grants) => grants.certificates({ serial }))
        assert.isNull(record?.revokedAtCa)
        const since = record?.revocationOpenSince ?? assert.fail("no revocation is open")
        const error = yield* Effect.flip(identify(peer.certificate.der))
        assert.strictEqual(error.code, "PEER_CERTIFICATE_REVOKED")
        assert.strictEqual(error.message, `certificate ${serial} was revoked at ${DateTime.formatIso(since)}`)
        assert.include(error.remediation, "ask the grantor for an enrollment token and enroll again")
      })
    )

    it.effect("asks the grant at each request", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const sql = yield* SqlClient
        const { id } = peer.grant
        yield* sql`UPDATE federation_grants SET status = 'suspended' WHERE id = ${id}`
        assert.strictEqual((yield* Effect.flip(identify(peer.certificate.der))).code, "GRANT_SUSPENDED")
        yield* sql`UPDATE federation_grants SET status = 'active' WHERE id = ${id}`
        yield* identify(peer.certificate.der)
        yield* sql`UPDATE federation_grants SET expires_at = now() - interval '1 s' WHERE id = ${id}`
        assert.strictEqual((yield* Effect.flip(identify(peer.certificate.der))).code, "GRANT_EXPIRED")
        yield* GrantRepo.use((grants) => grants.revoke(id, "the contract ended"))
        assert.strictEqual((yield* Effect.flip(identify(peer.certificate.der))).code, "GRANT_REVOKED")
        yield* sql`
          UPDATE federation_certificates SET revoked_at_ca = now() WHERE serial = ${peer.issued.serial}`
        assert.strictEqual((yield* Effect.flip(identify(peer.certificate.der))).code, "GRANT_REVOKED")
      })
    )

    it.effect("judges by the clock and the roots of today, not by those of the issuance", () =>
      Effect.gen(function* () {
        const peer = yield* enrolledPeer()
        const { certificate } = peer
        const { record } = yield* identify(certificate.der)
        const { roots } = yield* IssuanceConfig
        const at = (date: Date, millis: number) => DateTime.makeUnsafe(date.getTime() + millis)
        const codeAt = (now: DateTime.Utc, pinned = roots) =>
          Result.match(judge(certificate, record, pinned, now), {
            onSuccess: () => ({ code: "good", remediation: "" }),
            onFailure: (error) => error
          })
        assert.strictEqual(codeAt(yield* DateTime.now).code, "good")
        assert.strictEqual(codeAt(at(certificate.notAfter, 0)).code, "good")
        const early = codeAt(at(certificate.notBefore, -1))
        assert.strictEqual(early.code, "PEER_CERTIFICATE_NOT_YET_VALID")
        assert.include(early.remediation, "compare the clocks of the CA and of the gateway")
        const late = codeAt(at(certificate.notAfter, 1))
        assert.strictEqual(late.code, "PEER_CERTIFICATE_EXPIRED")
        assert.include(late.remediation, "ask the grantor for an enrollment token and enroll again")
        const another = yield* makeRoot("Another Root CA")
        const pinned = [Result.getOrThrow(parseCertificate(another.pem))]
        const untrusted = codeAt(yield* DateTime.now, pinned)
        assert.strictEqual(untrusted.code, "PEER_CERTIFICATE_UNTRUSTED")
        assert.include(untrusted.remediation, "ask the grantor for an enrollment token and enroll again")
      })
    )
  })
})
