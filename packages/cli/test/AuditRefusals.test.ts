/** Who was refused and is on the audit record for it: peers whose certificate is not taken, operators who may not do it. */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { PeerName } from "@mosaic-federation/domain/Grant"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { Lifetime } from "@mosaic-federation/domain/Lifetime"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeRenewalProof } from "@mosaic-federation/gateway/peer/RenewalProof"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { makeSelfSignedIdentity } from "@mosaic-federation/testing/TestPki"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { DateTime, Effect, Result, Schedule, Schema } from "effect"
import { clientOf, makeKey, startGateway } from "./support/gatewayProcess.ts"
import { type Extra, mosaic, station } from "./support/mosaic.ts"

/** So that nothing else limits what is asked here. */
const unlimited = {
  MOSAIC_RATE_PER_ADDRESS: "100000/1m",
  MOSAIC_RATE_PER_KEY: "100000/1m",
  MOSAIC_RATE_PER_GRANT: "100000/1m"
}

/** A gateway with an operator who sees everything, and what peers of it hold. */
const gatewayWith = Effect.fnUntraced(function* (extra: Extra = {}) {
  const { environment, rootPath } = yield* StepCaProcess
  const where = yield* station(environment)
  const { key } = yield* makeKey(where, "admin")
  const gateway = yield* startGateway(where, { ...unlimited, ...extra })
  const operator = yield* clientOf(gateway.url, { rootPath, bearer: key })

  const newGrant = Effect.gen(function* () {
    const payload = {
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("gateway.example"),
      scopes: ["orders:read"],
      expiresAt: DateTime.add(yield* DateTime.now, { days: 1 })
    }
    return (yield* operator.grants.create({ payload })).id
  })

  const issue = Effect.fnUntraced(function* (id: GrantId, lifetime = "1h") {
    const { pem: csr, privateKeyPem: key } = yield* makeCsr("P-256")
    const issued = yield* operator.certificates.issue({
      params: { id },
      headers: {},
      payload: { csr, lifetime: Schema.decodeSync(Lifetime)(lifetime) }
    })
    const der = Result.getOrThrow(parseCertificate(issued.certificate)).der
    return { serial: issued.serial, der, key, cert: issued.certificate + issued.chain.join("") }
  })

  /** The code by which a renewal is refused, and the id of the request. */
  const refusedRenewal = Effect.fnUntraced(function* (
    certificate: { readonly cert: string; readonly key: string } | undefined,
    proofOf?: (body: Uint8Array) => Effect.Effect<string>,
    csr?: string
  ) {
    const requestId = randomUUID()
    const client = yield* clientOf(gateway.url, {
      rootPath,
      headers: { "x-request-id": requestId },
      ...(certificate === undefined ? {} : { certificate })
    })
    const payload = { csr: csr ?? (yield* makeCsr("P-256")).pem }
    const proof = proofOf && (yield* proofOf(Buffer.from(JSON.stringify(payload))))
    const headers = proof === undefined ? {} : { "mosaic-renewal-proof": proof }
    const error = yield* Effect.flip(client.renewal.renew({ headers, payload }))
    return { code: "code" in error ? error.code : error._tag, requestId }
  })

  /** What is on record of a request, as soon as it is sealed. */
  const entriesOf = (requestId: string) =>
    operator.audit.list({ query: { order: "newest", limit: 1000 } }).pipe(
      Effect.map(({ entries }) => entries.filter((entry) => entry.requestId === requestId)),
      Effect.repeat({ until: (entries) => entries.length > 0, schedule: Schedule.spaced("100 millis") })
    )

  return { where, gateway, operator, rootPath, newGrant, issue, refusedRenewal, entriesOf }
})

type Gateway = Effect.Success<ReturnType<typeof gatewayWith>>

/** The one entry of a refused renewal, but for its place in the chain. */
const entryOf = Effect.fnUntraced(function* ({ entriesOf }: Gateway, requestId: string) {
  const [entry, ...more] = yield* entriesOf(requestId)
  assert(entry !== undefined)
  assert.lengthOf(more, 0)
  const { action, detail, errorCode, grantId, outcome, requester, serial, subject } = entry
  assert.deepStrictEqual(
    [action, outcome, serial, detail],
    ["certificate.renew", "refused", null, "from 127.0.0.1"]
  )
  return { errorCode, requester, grantId, subject }
})

const nobody = { requester: "nobody", grantId: null, subject: null }

/** Certificates of seconds, which a test can see the end of. */
const lifetimes = { min: "2s", default: "1h", max: "24h" }

layer(StepCaProcess.layer({ lifetimes }), { timeout: "120 seconds", excludeTestServices: true })(
  "refusals on the audit record",
  (it) => {
    it.effect("a renewal for which the certificate of the connection is not taken", () =>
      Effect.gen(function* () {
        const made = yield* gatewayWith()
        const { issue, newGrant, operator, refusedRenewal } = made
        const grantId = yield* newGrant
        const params = { id: grantId }
        const held = yield* issue(grantId)
        const about = { requester: `certificate:${held.serial}`, grantId, subject: held.serial }
        const refused = Effect.fnUntraced(function* (
          certificate: Parameters<typeof refusedRenewal>[0],
          code: string,
          expected: Omit<typeof nobody, "grantId" | "subject"> & {
            readonly grantId: string | null
            readonly subject: string | null
          }
        ) {
          const { requestId, ...found } = yield* refusedRenewal(certificate)
          assert.strictEqual(found.code, code)
          assert.deepStrictEqual(yield* entryOf(made, requestId), { errorCode: code, ...expected })
        })
        yield* operator.grants.suspend({ params })
        yield* refused(held, "GRANT_SUSPENDED", about)
        yield* operator.grants.resume({ params })
        yield* operator.certificates.revoke({ params: { serial: held.serial }, payload: { reason: "lost" } })
        yield* refused(held, "PEER_CERTIFICATE_REVOKED", about)
        yield* operator.grants.revoke({ params, payload: { reason: "over" } })
        yield* refused(held, "GRANT_REVOKED", about)

        const other = yield* newGrant
        const short = yield* issue(other, "5s")
        yield* operator.grants.suspend({ params: { id: other } })
        const { requestId } = yield* Effect.repeat(refusedRenewal(short), {
          until: ({ code }) => code === "PEER_CERTIFICATE_EXPIRED",
          schedule: Schedule.spaced("100 millis")
        })
        assert.deepStrictEqual(yield* entryOf(made, requestId), {
          errorCode: "PEER_CERTIFICATE_EXPIRED",
          requester: `certificate:${short.serial}`,
          grantId: other,
          subject: short.serial
        })

        // Of the same CA, and in no ledger but another one.
        const elsewhere = yield* gatewayWith()
        const foreign = yield* elsewhere.issue(yield* elsewhere.newGrant)
        yield* refused(foreign, "PEER_CERTIFICATE_UNKNOWN", { ...nobody, subject: foreign.serial })
        const stranger = yield* makeSelfSignedIdentity("peer.example")
        const { serial } = Result.getOrThrow(parseCertificate(stranger.cert))
        yield* refused(stranger, "PEER_CERTIFICATE_NOT_A_GRANT", { ...nobody, subject: serial })
        yield* refused(undefined, "PEER_CERTIFICATE_MISSING", nobody)
      })
    )

    it.effect("a renewal whose proof does not hold, or holds of a certificate that is not taken", () =>
      Effect.gen(function* () {
        const made = yield* gatewayWith({
          MOSAIC_TRUSTED_PROXIES: "127.0.0.1",
          MOSAIC_PUBLIC_URL: "https://gateway.example"
        })
        const { issue, newGrant, operator, refusedRenewal } = made
        const grantId = yield* newGrant
        const held = yield* issue(grantId)
        const key = createPrivateKey(held.key)
        const proofBy = (
          signer: KeyObject,
          changed: { readonly body?: Uint8Array; readonly late?: number } = {}
        ) =>
          Effect.fnUntraced(function* (body: Uint8Array) {
            const now = DateTime.add(yield* DateTime.now, { seconds: -(changed.late ?? 0) })
            return yield* makeRenewalProof({
              key: signer,
              certificateDer: held.der,
              body: changed.body ?? body,
              audience: "https://gateway.example/v1/renew",
              now
            })
          })
        const refused = Effect.fnUntraced(function* (
          proofOf: NonNullable<Parameters<typeof refusedRenewal>[1]>,
          code: string,
          requester: string,
          csr?: string
        ) {
          const { requestId, ...found } = yield* refusedRenewal(undefined, proofOf, csr)
          assert.strictEqual(found.code, code)
          assert.deepStrictEqual(yield* entryOf(made, requestId), {
            errorCode: code,
            requester,
            grantId,
            subject: held.serial
          })
        })
        const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
        yield* refused(proofBy(stranger), "RENEWAL_PROOF_INVALID", "nobody")
        yield* refused(proofBy(key, { body: Buffer.from("{}") }), "RENEWAL_PROOF_INVALID", "nobody")
        yield* refused(proofBy(key, { late: 90 }), "RENEWAL_PROOF_STALE", "nobody")
        yield* operator.grants.suspend({ params: { id: grantId } })
        // Whoever reads a request can send it again, and proves nothing by it.
        const { pem: csr } = yield* makeCsr("P-256")
        const body = Buffer.from(JSON.stringify({ csr }))
        const sent = yield* proofBy(key)(body)
        const again = () => Effect.succeed(sent)
        yield* refused(again, "GRANT_SUSPENDED", `certificate:${held.serial}`, csr)
        yield* refused(again, "RENEWAL_PROOF_REPLAYED", "nobody", csr)
      })
    )

    it.effect("what an operator asks for without the scope, or with a key that is over", () =>
      Effect.gen(function* () {
        const { entriesOf, gateway, newGrant, operator, rootPath, where } = yield* gatewayWith()
        const id = yield* newGrant
        const reader = yield* makeKey(where, "read")
        const ask = Effect.fnUntraced(function* (bearer: string) {
          const requestId = randomUUID()
          const client = yield* clientOf(gateway.url, {
            rootPath,
            bearer,
            headers: { "x-request-id": requestId }
          })
          const error = yield* Effect.flip(client.grants.suspend({ params: { id } }))
          return { code: "code" in error ? error.code : error._tag, requestId }
        })
        const refused = Effect.fnUntraced(function* (code: string) {
          const { requestId, ...found } = yield* ask(reader.key)
          assert.strictEqual(found.code, code)
          const [entry, ...more] = yield* entriesOf(requestId)
          assert.lengthOf(more, 0)
          assert.deepInclude(entry, {
            action: "operator.request",
            outcome: "refused",
            requester: `api-key:${reader.id}`,
            grantId: id,
            serial: null,
            subject: "POST /v1/grants/:id/suspend",
            errorCode: code,
            detail: "from 127.0.0.1"
          })
        })
        yield* refused("SCOPE_INSUFFICIENT")
        yield* mosaic(where, ["gateway", "key", "revoke", reader.id])
        yield* refused("API_KEY_REVOKED")
        // Nobody has proved anything with a key that is none.
        const unknown = yield* ask("mosaic_key_1_0000000000000000_" + "A".repeat(43))
        assert.strictEqual(unknown.code, "API_KEY_UNKNOWN")
        const after = yield* ask(reader.key)
        yield* entriesOf(after.requestId)
        const { entries } = yield* operator.audit.list({ query: { order: "newest", limit: 1000 } })
        assert.lengthOf(
          entries.filter(({ requestId }) => requestId === unknown.requestId),
          0
        )
        assert.isFalse(JSON.stringify(entries).includes(reader.key))
      })
    )

    it.effect("no more of them than its bound, however many there are", () =>
      Effect.gen(function* () {
        const { gateway, issue, newGrant, operator, rootPath, where } = yield* gatewayWith()
        const reader = yield* makeKey(where, "read")
        const flood = Effect.fnUntraced(function* (client: Effect.Success<ReturnType<typeof clientOf>>) {
          const { pem: csr } = yield* makeCsr("P-256")
          const one = Effect.flip(client.renewal.renew({ headers: {}, payload: { csr } }))
          yield* Effect.all(
            Array.from({ length: 150 }, () => one),
            { concurrency: 16 }
          )
        })
        const id = yield* newGrant
        const { cert, key } = yield* issue(id)
        yield* operator.grants.suspend({ params: { id } })
        yield* flood(yield* clientOf(gateway.url, { rootPath }))
        yield* flood(yield* clientOf(gateway.url, { rootPath, certificate: { cert, key } }))
        const reading = yield* clientOf(gateway.url, { rootPath, bearer: reader.key })
        const ask = Effect.flip(reading.grants.suspend({ params: { id } }))
        yield* Effect.all(
          Array.from({ length: 150 }, () => ask),
          { concurrency: 16 }
        )
        yield* Effect.repeat(operator.audit.head(), {
          until: ({ unsealed }) => unsealed === 0,
          schedule: Schedule.spaced("100 millis")
        })
        const { entries } = yield* operator.audit.list({ query: { order: "newest", limit: 1000 } })
        for (const code of ["PEER_CERTIFICATE_MISSING", "GRANT_SUSPENDED", "SCOPE_INSUFFICIENT"]) {
          const count = entries.filter(({ errorCode }) => errorCode === code).length
          // One a minute more, on a machine that takes minutes for this.
          assert.isTrue(count >= 60 && count < 75, `${code} ${count}`)
        }
      })
    )
  }
)
