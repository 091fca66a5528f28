/** Tokens against a real step-ca and a real database: what uses one up, and what does not. */
import { createHash, randomUUID } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { formatEnrollmentToken } from "@mosaic-federation/domain/EnrollmentToken"
import { EnrollmentTokenId } from "@mosaic-federation/domain/EnrollmentTokenId"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { UserId } from "@mosaic-federation/domain/UserId"
import { EnrollmentTokenRepo } from "@mosaic-federation/issuance/EnrollmentTokenRepo"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { parse } from "@mosaic-federation/x509/CertificateRequest"
import { DateTime, Duration, Effect, Layer, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Enrollment } from "../src/peer/Enrollment.ts"
import { EnrollmentTokens, type TokenRequest, tokenSha256 } from "../src/peer/EnrollmentTokens.ts"
import { layerGateway } from "./support/gatewayOver.ts"

const TestLayer = Layer.mergeAll(EnrollmentTokens.layerNoDeps, Enrollment.layerNoDeps).pipe(
  Layer.provideMerge(layerGateway())
)

const makeGrant = Effect.gen(function* () {
  const grants = yield* GrantRepo
  return yield* grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("gateway.example"),
      scopes: ["orders:read"],
      expiresAt: DateTime.addDuration(yield* DateTime.now, "30 days")
    })
  )
})

const request = (grantId: GrantId): TokenRequest => ({
  grantId,
  url: "https://gateway.example:8443",
  roots: ["ab".repeat(32)],
  createdBy: "cli"
})

const makeToken = (grantId: GrantId, options: Partial<TokenRequest> = {}) =>
  EnrollmentTokens.use((tokens) => tokens.create({ ...request(grantId), ...options }))

const redeem = (token: Redacted.Redacted, csrPem: string, requestId = "req-1") =>
  Enrollment.use((enrollment) =>
    enrollment.redeem({ token, csrPem, redeemer: { from: "198.51.100.7", requestId } })
  )

const issuedOf = Effect.fnUntraced(function* (grantId: GrantId) {
  const records = yield* GrantRepo.use((grants) => grants.certificates({ grantId }))
  return records.filter(({ state }) => state === "issued")
})

const tokenOf = (grantId: GrantId) =>
  Effect.map(
    EnrollmentTokens.use((tokens) => tokens.list({ grantId })),
    ([token]) => token
  )

describe("Enrollment", () => {
  layer(TestLayer, { timeout: "120 seconds", excludeTestServices: true })((it) => {
    it.effect("shows the token once, keeps its hash, and redeems it for one certificate", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret, token } = yield* makeToken(grant.id)
        assert.match(Redacted.value(secret), /^mosaic_enroll_1_[A-Za-z0-9_-]+$/)
        assert.notInclude(JSON.stringify(secret), "mosaic_enroll_1_")
        const sql = yield* SqlClient
        const [row] =
          yield* sql`SELECT to_jsonb(t)::text AS row FROM federation_enrollment_tokens t WHERE id = ${token.id}`
        assert.include(String(row?.["row"]), tokenSha256(secret))
        assert.notInclude(String(row?.["row"]), Redacted.value(secret))
        assert.strictEqual(
          DateTime.toEpochMillis(token.expiresAt) - DateTime.toEpochMillis(token.createdAt),
          600_000
        )

        const csr = yield* makeCsr("P-256")
        const enrolled = yield* redeem(secret, csr.pem)
        assert.isFalse(enrolled.repeated)
        const [issued, ...more] = yield* issuedOf(grant.id)
        assert.deepStrictEqual(more, [])
        assert.strictEqual(issued?.serial, enrolled.issued.serial)
        const now = yield* DateTime.now
        const after = yield* tokenOf(grant.id)
        assert.strictEqual(after?.statusAt(now), "used")
        assert.deepInclude(after?.use, {
          from: "198.51.100.7",
          requestId: "req-1",
          serial: enrolled.issued.serial
        })
      })
    )

    it.effect("gives the same certificate to the same CSR for an hour, even past the token's own end", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret } = yield* makeToken(grant.id, { lifetime: Duration.minutes(10) })
        const csr = yield* makeCsr("P-256")
        const first = yield* redeem(secret, csr.pem)
        const sql = yield* SqlClient
        yield* sql`
          UPDATE federation_enrollment_tokens SET created_at = now() - interval '50 min',
            expires_at = now() - interval '40 min', used_at = now() - interval '45 min'
          WHERE grant_id = ${grant.id}`
        const second = yield* redeem(secret, csr.pem, "req-2")
        assert.isTrue(second.repeated)
        assert.deepStrictEqual(second.issued, first.issued)
        assert.lengthOf(yield* issuedOf(grant.id), 1)

        yield* sql`
          UPDATE federation_enrollment_tokens SET used_at = now() - interval '61 min' WHERE grant_id = ${grant.id}`
        const late = yield* Effect.flip(redeem(secret, csr.pem, "req-3"))
        assert.strictEqual(late.code, "ENROLLMENT_TOKEN_USED")
        assert.include(late.remediation, "have the grantor revoke certificate")
      })
    )

    it.effect("refuses another CSR, and says when, from where and by which request it was used", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret, token } = yield* makeToken(grant.id)
        const { issued } = yield* redeem(secret, (yield* makeCsr("P-256")).pem, "req-first")
        const error = yield* Effect.flip(redeem(secret, (yield* makeCsr("P-256")).pem, "req-thief"))
        const use = (yield* tokenOf(grant.id))?.use
        assert.strictEqual(error.code, "ENROLLMENT_TOKEN_USED")
        assert.strictEqual(
          error.message,
          `enrollment token ${token.id} was used at ${use === null || use === undefined ? "" : DateTime.formatIso(use.at)} from 198.51.100.7 by request req-first for certificate ${issued.serial}`
        )
        assert.include(error.remediation, `revoke certificate ${issued.serial} and its grant at once`)
        assert.lengthOf(yield* issuedOf(grant.id), 1)
      })
    )

    it.effect("issues once for two redemptions at once with the same CSR", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret } = yield* makeToken(grant.id)
        const csr = yield* makeCsr("P-256")
        const both = yield* Effect.all(
          Array.from({ length: 5 }, (_, index) => redeem(secret, csr.pem, `req-${index}`)),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(new Set(both.map(({ issued }) => issued.serial)).size, 1)
        assert.lengthOf(
          both.filter(({ repeated }) => !repeated),
          1
        )
        assert.lengthOf(yield* GrantRepo.use((grants) => grants.certificates({ grantId: grant.id })), 1)
      })
    )

    it.effect("gives one certificate to two redemptions at once with different CSRs", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret } = yield* makeToken(grant.id)
        const csrs = yield* Effect.all([makeCsr("P-256"), makeCsr("P-256"), makeCsr("Ed25519")])
        const results = yield* Effect.all(
          csrs.map(({ pem }, index) => Effect.result(redeem(secret, pem, `req-${index}`))),
          { concurrency: "unbounded" }
        )
        const won = results.filter(Result.isSuccess)
        const lost = results.filter(Result.isFailure).map(({ failure }) => failure)
        assert.lengthOf(won, 1)
        assert.deepStrictEqual(
          lost.map(({ code }) => code),
          ["ENROLLMENT_TOKEN_USED", "ENROLLMENT_TOKEN_USED"]
        )
        assert.include(lost[0]?.message, `for certificate ${won[0]?.success.issued.serial}`)
        assert.include(lost[0]?.remediation, "if that was not you")
        assert.lengthOf(yield* GrantRepo.use((grants) => grants.certificates({ grantId: grant.id })), 1)
      })
    )

    it.effect("stays valid through failed tries: a refused CSR, and a CA that is away", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret } = yield* makeToken(grant.id)
        const csr = yield* makeCsr("P-256", { commonName: "somebody-else" })
        const refused = yield* Effect.flip(redeem(secret, csr.pem))
        assert.strictEqual(refused.code, "CSR_SUBJECT_MISMATCH")
        const ca = yield* StepCaProcess
        yield* ca.stop
        const good = yield* makeCsr("P-256")
        const away = yield* Effect.flip(redeem(secret, good.pem)).pipe(
          Effect.ensuring(Effect.orDie(ca.start))
        )
        assert.strictEqual(away.code, "CA_CONNECTION_REFUSED")
        assert.strictEqual((yield* tokenOf(grant.id))?.statusAt(yield* DateTime.now), "open")
        const enrolled = yield* redeem(secret, good.pem)
        assert.isFalse(enrolled.repeated)
      })
    )

    it.effect("is unused again when its certificate was withheld after all", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret } = yield* makeToken(grant.id)
        const first = yield* redeem(secret, (yield* makeCsr("P-256")).pem)
        yield* GrantRepo.use((grants) =>
          grants.recordOutcome({
            serial: first.issued.serial,
            state: "withheld",
            errorCode: "STORAGE_UNAVAILABLE",
            revokedAtCa: true
          })
        )
        const second = yield* redeem(secret, (yield* makeCsr("P-256")).pem)
        assert.isFalse(second.repeated)
        assert.notStrictEqual(second.issued.serial, first.issued.serial)
      })
    )

    it.effect("is held for a minute by a redemption that crashed, and then given to the next", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret, token } = yield* makeToken(grant.id)
        const tokens = yield* EnrollmentTokenRepo
        const csr = yield* makeCsr("P-256")
        const key = createHash("sha256")
          .update(Result.getOrThrow(parse(csr.pem)).publicKeySpki)
          .digest("hex")
        const crashed = randomUUID()
        assert.isTrue(yield* tokens.claim(token.id, crashed, key, Duration.minutes(1)))
        const busy = yield* Effect.flip(redeem(secret, csr.pem))
        assert.strictEqual(busy.code, "ENROLLMENT_TOKEN_BUSY")
        assert.include(busy.remediation, "try again in a minute with the same CSR")
        yield* SqlClient.use(
          (sql) => sql`
            UPDATE federation_enrollment_tokens SET claimed_until = now() - interval '1 s' WHERE id = ${token.id}`
        )
        yield* redeem(secret, csr.pem)
      })
    )

    it.effect("withholds a certificate whose token was revoked while it was issued", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const { secret, token } = yield* makeToken(grant.id)
        const sql = yield* SqlClient
        // The row is revoked, without a word to anybody, once an intent is there: the moment before the CA is asked.
        yield* sql`
          CREATE FUNCTION revoke_meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN
            UPDATE federation_enrollment_tokens SET revoked_at = now() WHERE grant_id = NEW.grant_id;
            RETURN NULL;
          END $$`
        yield* sql`
          CREATE TRIGGER revoke_meanwhile AFTER INSERT ON federation_certificates
          FOR EACH ROW EXECUTE FUNCTION revoke_meanwhile()`
        const error = yield* Effect.flip(redeem(secret, (yield* makeCsr("P-256")).pem)).pipe(
          Effect.ensuring(Effect.orDie(sql`DROP FUNCTION revoke_meanwhile CASCADE`))
        )
        assert.strictEqual(error.code, "ENROLLMENT_TOKEN_REVOKED")
        assert.include(error.message, token.id)
        assert.include(error.remediation, "ask the grantor for a new token")
        assert.lengthOf(yield* issuedOf(grant.id), 0)
        const [record] = yield* GrantRepo.use((grants) => grants.certificates({ grantId: grant.id }))
        assert.strictEqual(record?.state, "withheld")
        assert.isNotNull(record?.revokedAtCa)
      })
    )

    it.effect("holds a token to its key, its end, its revocation and its gateway", () =>
      Effect.gen(function* () {
        const grant = yield* makeGrant
        const csr = yield* makeCsr("P-256")
        const spki = Result.getOrThrow(parse(csr.pem)).publicKeySpki
        const keySha256 = createHash("sha256").update(spki).digest("hex")
        const bound = yield* makeToken(grant.id, { keySha256 })
        const other = yield* Effect.flip(redeem(bound.secret, (yield* makeCsr("P-256")).pem))
        assert.strictEqual(other.code, "ENROLLMENT_KEY_MISMATCH")
        assert.include(other.remediation, "enroll with the CSR of that key")
        yield* redeem(bound.secret, csr.pem)

        const short = yield* makeToken(grant.id, { lifetime: Duration.seconds(1) })
        yield* SqlClient.use(
          (sql) => sql`
            UPDATE federation_enrollment_tokens
            SET created_at = now() - interval '1 hour', expires_at = now() - interval '1 s'
            WHERE id = ${short.token.id}`
        )
        const expired = yield* Effect.flip(redeem(short.secret, csr.pem))
        assert.strictEqual(expired.code, "ENROLLMENT_TOKEN_EXPIRED")
        assert.include(expired.remediation, "ask the grantor for a new token")

        const taken = yield* makeToken(grant.id)
        const tokens = yield* EnrollmentTokens
        const revoked = yield* tokens.revoke(taken.token.id)
        assert.strictEqual(revoked.statusAt(yield* DateTime.now), "revoked")
        assert.deepStrictEqual(yield* tokens.revoke(taken.token.id), revoked)
        const refused = yield* Effect.flip(redeem(taken.secret, csr.pem))
        assert.strictEqual(refused.code, "ENROLLMENT_TOKEN_REVOKED")
        assert.include(refused.remediation, "ask the grantor for a new token")

        const foreign = formatEnrollmentToken({
          url: "https://gateway.example:8443",
          roots: ["ab".repeat(32)],
          secret: Buffer.alloc(32).toString("base64url")
        })
        const unknown = yield* Effect.flip(redeem(foreign, csr.pem))
        assert.strictEqual(unknown.code, "ENROLLMENT_TOKEN_UNKNOWN")
        assert.include(unknown.remediation, "check that token and --url are of the same gateway")

        for (const [text, problem] of [
          ["", "the enrollment token is empty"],
          ["hunter2", "the enrollment token does not begin with mosaic_enroll_1_"],
          [`${Redacted.value(foreign)} x`, "the enrollment token has characters that no token has"],
          [Redacted.value(foreign).slice(0, -9), "the enrollment token is damaged, or was cut"]
        ] as const) {
          const malformed = yield* Effect.flip(redeem(Redacted.make(text), csr.pem))
          assert.strictEqual(malformed.code, "ENROLLMENT_TOKEN_MALFORMED")
          assert.include(malformed.message, problem)
          assert.include(malformed.remediation, "give the whole token on one line")
        }

        const absent = EnrollmentTokenId.make(randomUUID())
        const notFound = yield* Effect.flip(tokens.revoke(absent))
        assert.strictEqual(notFound.code, "ENROLLMENT_TOKEN_NOT_FOUND")
        assert.include(notFound.remediation, "list the tokens of a grant")
      })
    )

    it.effect(
      "makes no token for a grant that issues nothing, and none that lives long or leads nowhere",
      () =>
        Effect.gen(function* () {
          const grant = yield* makeGrant
          const week = yield* Effect.flip(makeToken(grant.id, { lifetime: Duration.days(8) }))
          assert.strictEqual(week.code, "REQUEST_INVALID")
          const plain = yield* Effect.flip(makeToken(grant.id, { url: "http://gateway.example" }))
          assert.include(plain.message, "not an https URL")
          const { secret } = yield* makeToken(grant.id)
          yield* GrantRepo.use((grants) => grants.revoke(grant.id, "over"))
          assert.strictEqual((yield* Effect.flip(makeToken(grant.id))).code, "GRANT_REVOKED")
          const late = yield* Effect.flip(redeem(secret, (yield* makeCsr("P-256")).pem))
          assert.strictEqual(late.code, "GRANT_REVOKED")
          const used = yield* makeGrant
          const made = yield* makeToken(used.id)
          const csr = yield* makeCsr("P-256")
          yield* redeem(made.secret, csr.pem)
          yield* GrantRepo.use((grants) => grants.revoke(used.id, "over"))
          assert.strictEqual((yield* Effect.flip(redeem(made.secret, csr.pem))).code, "GRANT_REVOKED")
        })
    )
  })
})
