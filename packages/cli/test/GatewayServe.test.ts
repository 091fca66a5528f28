/** `mosaic gateway serve` as operators and peers meet it: real processes, a real step-ca, the typed client. */
import { connect as connectTls } from "node:tls"
import { randomUUID } from "node:crypto"
import { copyFileSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { catalogue } from "@mosaic-federation/domain/MosaicError"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { UserId } from "@mosaic-federation/domain/UserId"
import { timedSteps } from "@mosaic-federation/issuance/IssuanceMetrics"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { makeRoot } from "@mosaic-federation/testing/TestPki"
import { DateTime, Duration, Effect } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { collector } from "./support/collector.ts"
import { clientOf, layerTransport, makeKey, startGateway } from "./support/gatewayProcess.ts"
import { documentOf, type ErrorDocument, type Extra, mosaic, station } from "./support/mosaic.ts"

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")

/** A gateway with a home of its own and a key of each scope. */
const gatewayAtCa = Effect.fnUntraced(function* (extra: Extra = {}) {
  const ca = yield* StepCaProcess
  const where = yield* station(ca.environment)
  const admin = yield* makeKey(where, "admin")
  const gateway = yield* startGateway(where, extra)
  const { rootPath } = ca
  const operator = yield* clientOf(gateway.url, { rootPath, bearer: admin.key })
  return { ca, where, gateway, rootPath, admin, operator }
})

const inDays = (days: number) => Effect.map(DateTime.now, DateTime.add({ days }))

const newGrant = Effect.map(inDays(30), (expiresAt) => ({
  subjectUserId: userId,
  peer: PeerName.make("gateway.example"),
  scopes: ["orders:read"],
  expiresAt
}))

/** Any request, as any client may send it. */
const send = Effect.fnUntraced(
  function* (request: HttpClientRequest.HttpClientRequest) {
    const client = yield* HttpClient.HttpClient
    const { headers, status, text } = yield* client.execute(request)
    return { status, headers, text: yield* text }
  },
  Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
)

const get = (url: string, rootPath: string, headers: Readonly<Record<string, string>> = {}) =>
  send(HttpClientRequest.get(url, { headers })).pipe(
    Effect.provide(layerTransport({ rootPath })),
    Effect.scoped
  )

/** The server's certificate, by a handshake that trusts the root alone. */
const shownBy = (url: string, ca: string) =>
  Effect.callback<{ readonly names: string; readonly serial: string }, Error>((resume) => {
    const { hostname, port } = new URL(url)
    const socket = connectTls({ host: hostname, port: Number(port), ca }, () => {
      const { serialNumber, subjectaltname = "" } = socket.getPeerCertificate()
      socket.end()
      resume(Effect.succeed({ names: subjectaltname, serial: serialNumber }))
    })
    socket.on("error", (error) => resume(Effect.fail(error)))
  })

interface ProblemDocument {
  readonly type: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly remediation: string
  readonly requestId: string
  readonly details: Readonly<Record<string, unknown>>
}

const problemOf = (text: string) => JSON.parse(text) as ProblemDocument

layer(StepCaProcess.layer(), { excludeTestServices: true })("mosaic gateway serve", (it) => {
  it.effect("the life of a grant over HTTPS, with the typed client", () =>
    Effect.gen(function* () {
      const { ca, gateway, operator, rootPath } = yield* gatewayAtCa()
      assert.match(gateway.url, /^https:/)
      const grant = yield* operator.grants.create({ payload: yield* newGrant })
      assert.strictEqual(grant.status, "active")
      const params = { id: grant.id }

      const made = yield* operator.enrollmentTokens.create({ params, payload: {} })
      const csr = yield* makeCsr("P-256")
      const newcomer = yield* clientOf(gateway.url, { rootPath, bearer: made.token })
      const first = yield* newcomer.enrollment.enroll({ payload: { csr: csr.pem } })
      assert.strictEqual(first.grantId, grant.id)
      const [used] = (yield* operator.enrollmentTokens.list({ params, query: {} })).tokens
      assert.deepStrictEqual([used?.status, used?.use?.serial], ["used", first.serial])

      const peer = yield* clientOf(gateway.url, {
        rootPath,
        certificate: { cert: first.certificate + first.chain.join(""), key: csr.privateKeyPem }
      })
      const identity = yield* peer.identity.whoami()
      assert.deepStrictEqual(
        [identity.grantId, identity.subjectUserId, identity.certificate.serial],
        [grant.id, userId, first.serial]
      )
      const early = yield* peer.renewal
        .renew({ headers: {}, payload: { csr: (yield* makeCsr("P-256")).pem } })
        .pipe(Effect.catchTag("RenewalTooSoon", Effect.succeed))
      assert.strictEqual("code" in early ? early.code : "renewed", "RENEWAL_TOO_SOON")

      const issued = yield* operator.certificates.issue({
        params,
        headers: {},
        payload: { csr: (yield* makeCsr("P-384")).pem }
      })
      const shown = yield* operator.grants.get({ params })
      assert.sameMembers(
        shown.certificates.map(({ serial }) => serial),
        [first.serial, issued.serial]
      )
      const record = yield* operator.certificates.get({ params: { serial: issued.serial } })
      assert.strictEqual(record.fullChain, issued.certificate + issued.chain.join(""))
      assert.isTrue((yield* operator.grants.explain({ params })).mayIssue)

      const revocation = yield* operator.grants.revoke({ params, payload: { reason: "the contract ended" } })
      assert.deepStrictEqual(
        [revocation.status, revocation.liveCertificates, revocation.caRevocations.done],
        ["revoked", 2, 2]
      )
      const over = yield* Effect.flip(peer.identity.whoami())
      assert.strictEqual("code" in over ? over.code : over._tag, "GRANT_REVOKED")
      const refused = yield* Effect.flip(
        operator.certificates.issue({ params, headers: {}, payload: { csr: csr.pem } })
      )
      assert.strictEqual(refused._tag, "GrantRevoked")
      assert.isFalse((yield* operator.grants.explain({ params })).mayIssue)
      assert.include(yield* ca.log, first.serial)
    })
  )

  it.effect("says who may not, why, and what to do", () =>
    Effect.gen(function* () {
      const { gateway, rootPath, where } = yield* gatewayAtCa()
      const ask = (authorization: string) =>
        get(`${gateway.url}/v1/grants`, rootPath, authorization === "" ? {} : { authorization })
      const refusal = Effect.fnUntraced(function* (authorization: string) {
        const { headers, status, text } = yield* ask(authorization)
        assert.strictEqual(headers["content-type"], "application/problem+json")
        const { code, remediation, status: said } = problemOf(text)
        assert.strictEqual(status, said)
        return [status, code, remediation] as const
      })
      const nobody = yield* refusal("")
      assert.deepStrictEqual(nobody.slice(0, 2), [401, "AUTHENTICATION_REQUIRED"])
      assert.include(nobody[2], "set MOSAIC_API_KEY or MOSAIC_API_KEY_FILE")
      const made = yield* makeKey(where, "read")
      assert.strictEqual((yield* ask(`Bearer ${made.key}`)).status, 200)
      const altered = `${made.key.slice(0, -1)}${made.key.endsWith("A") ? "B" : "A"}`
      const unknown = yield* refusal(`Bearer ${altered}`)
      assert.deepStrictEqual(unknown.slice(0, 2), [401, "API_KEY_UNKNOWN"])
      assert.include(unknown[2], "check that key and URL are of the same gateway")
      yield* mosaic(where, ["gateway", "key", "revoke", made.id])
      const revoked = yield* refusal(`Bearer ${made.key}`)
      assert.deepStrictEqual(revoked.slice(0, 2), [401, "API_KEY_REVOKED"])
      assert.include(revoked[2], "have a key made: mosaic gateway key create")
      const brief = yield* makeKey(where, "read", "--expires-in", "1s")
      yield* Effect.sleep("1100 millis")
      const expired = yield* refusal(`Bearer ${brief.key}`)
      assert.deepStrictEqual(expired.slice(0, 2), [401, "API_KEY_EXPIRED"])
      assert.include(expired[2], "use the key that took its place")
      const listed = yield* mosaic(where, ["gateway", "key", "list", "--json"])
      const { keys } = documentOf<{
        readonly keys: ReadonlyArray<{ readonly id: string; readonly lastUsedFrom: string | null }>
      }>(listed.stdout)
      assert.strictEqual(keys.find(({ id }) => id === made.id)?.lastUsedFrom, "127.0.0.1")
    })
  )

  it.effect("answers every failure with problem details, and follows it by one id", () =>
    Effect.gen(function* () {
      const { admin, ca, gateway, operator, rootPath } = yield* gatewayAtCa()
      const lost = yield* get(`${gateway.url}/v1/grant`, rootPath)
      assert.deepStrictEqual([lost.status, problemOf(lost.text).code], [404, "ENDPOINT_NOT_FOUND"])
      assert.include(problemOf(lost.text).remediation, "see which there are: /docs or /openapi.json")
      const authorization = `Bearer ${admin.key}`
      const wrong = yield* get(`${gateway.url}/v1/grants?limit=0`, rootPath, { authorization })
      assert.deepStrictEqual([wrong.status, problemOf(wrong.text).code], [400, "REQUEST_INVALID"])
      assert.include(problemOf(wrong.text).detail, "limit")
      assert.include(problemOf(wrong.text).remediation, "its form is in /docs of the gateway (docs/api.md)")

      const requestId = `test-${randomUUID()}`
      const headers = { "x-request-id": requestId }
      const traced = yield* clientOf(gateway.url, { rootPath, bearer: admin.key, headers })
      const absent = GrantId.make(randomUUID())
      const plain = yield* clientOf(gateway.url, { rootPath })
      const [, response] = yield* plain.roots.roots({ responseMode: "decoded-and-response" })
      assert.match(response.headers["x-request-id"] ?? "", /^[0-9a-f-]{36}$/)
      const [, followed] = yield* traced.roots.roots({ responseMode: "decoded-and-response" })
      assert.strictEqual(followed.headers["x-request-id"], requestId)
      const missing = yield* Effect.flip(traced.grants.get({ params: { id: absent } }))
      assert.strictEqual(missing._tag, "GrantNotFound")
      const line = yield* gateway.logged((one) => one["requestId"] === requestId && one["status"] === 404)
      assert.deepInclude(line, {
        message: "request",
        route: "/v1/grants/:id",
        status: 404,
        code: "GRANT_NOT_FOUND",
        requester: `api-key:${admin.id}`,
        from: "127.0.0.1"
      })

      const traceId = randomUUID().replaceAll("-", "")
      yield* get(`${gateway.url}/v1/whoami`, rootPath, { traceparent: `00-${traceId}-00f067aa0ba902b7-01` })
      assert.deepInclude(yield* gateway.logged((one) => one["traceId"] === traceId), {
        message: "request",
        code: "PEER_CERTIFICATE_MISSING",
        requester: "nobody"
      })

      const grant = yield* operator.grants.create({ payload: yield* newGrant })
      const csr = (yield* makeCsr("P-256")).pem
      yield* traced.certificates.issue({ params: { id: grant.id }, headers: {}, payload: { csr } })
      assert.include(yield* ca.log, requestId)
      const page = yield* get(`${gateway.url}/docs/errors`, rootPath)
      for (const { code } of catalogue) assert.include(page.text, `id="${code.toLowerCase()}"`)
    })
  )

  it.effect("takes no time for an end that the calendar has not, or that has no zone", () =>
    Effect.gen(function* () {
      const { admin, gateway, operator, rootPath } = yield* gatewayAtCa()
      const { id } = yield* operator.grants.create({ payload: yield* newGrant })
      const headers = { authorization: `Bearer ${admin.key}` }
      const asks = Effect.fnUntraced(
        function* (expiresAt: string) {
          const grant = { subjectUserId: userId, peer: "gateway.example", scopes: [], expiresAt }
          const create = HttpClientRequest.post(`${gateway.url}/v1/grants`, { headers })
          const change = HttpClientRequest.patch(`${gateway.url}/v1/grants/${id}`, { headers })
          return [
            yield* send(HttpClientRequest.bodyJsonUnsafe(create, grant)),
            yield* send(HttpClientRequest.bodyJsonUnsafe(change, { expiresAt }))
          ]
        },
        Effect.provide(layerTransport({ rootPath })),
        Effect.scoped
      )
      const year = DateTime.getPartUtc(yield* inDays(366), "year")
      for (const expiresAt of [
        `${year}-02-31T00:00:00Z`,
        `12/20/${year}`,
        `${year}`,
        `${year}-12-20T00:00:00`,
        "+275000-01-01T00:00:00Z"
      ]) {
        for (const { status, text } of yield* asks(expiresAt)) {
          assert.deepStrictEqual([status, problemOf(text).code], [400, "REQUEST_INVALID"], expiresAt)
          assert.match(problemOf(text).detail, /^body: Expected a time with its zone.*"expiresAt"/)
        }
      }
      for (const { text } of yield* asks(`${year}-03-01T00:30:00+01:00`)) {
        assert.match((JSON.parse(text) as { expiresAt: string }).expiresAt, /-02-2[89]T23:30:00\.000Z$/)
      }
    })
  )

  it.effect("refuses fields and parameters that it does not have, and does nothing", () =>
    Effect.gen(function* () {
      const { admin, gateway, operator, rootPath } = yield* gatewayAtCa()
      const { id, peer } = yield* operator.grants.create({ payload: yield* newGrant })
      const bearer = { authorization: `Bearer ${admin.key}` }
      const post = (path: string, body: Readonly<Record<string, unknown>>) =>
        send(
          HttpClientRequest.bodyJsonUnsafe(
            HttpClientRequest.post(`${gateway.url}${path}`, { headers: bearer }),
            body
          )
        ).pipe(Effect.provide(layerTransport({ rootPath })), Effect.scoped)
      const left = { peer, reason: "left" }
      const { pem: csr } = yield* makeCsr("P-256")
      const asked = [
        ["dryrun", post("/v1/revocations", { ...left, dryrun: true })],
        ["dryRun", post("/v1/revocations?dryRun=true", left)],
        ["lifeTime", post(`/v1/grants/${id}/certificates`, { csr, lifeTime: "1h" })],
        ["dryRun", post(`/v1/grants/${id}/suspend?dryRun=true`, {})],
        ["grantId", get(`${gateway.url}/v1/certificates?grantId=${id}`, rootPath, bearer)],
        ["Peer", get(`${gateway.url}/v1/grants?Peer=x`, rootPath, bearer)]
      ] as const
      for (const [name, request] of asked) {
        const { status, text } = yield* request
        const { code, detail, remediation } = problemOf(text)
        assert.deepStrictEqual([status, code], [400, "REQUEST_INVALID"])
        assert.match(detail, new RegExp(`^(body|query): .*"${name}"`))
        assert.include(remediation, "correct the field that is named")
      }
      const stranger = yield* get(`${gateway.url}/v1/grants?Peer=x`, rootPath)
      assert.strictEqual(problemOf(stranger.text).code, "AUTHENTICATION_REQUIRED")
      const { certificates, status } = yield* operator.grants.get({ params: { id } })
      assert.deepStrictEqual([status, certificates], ["active", []])
    })
  )

  it.effect("suspends and resumes a grant, and gives it another end", () =>
    Effect.gen(function* () {
      const { gateway, operator, rootPath, where } = yield* gatewayAtCa()
      const issuer = yield* clientOf(gateway.url, { rootPath, bearer: (yield* makeKey(where, "issue")).key })
      const { id } = yield* issuer.grants.create({ payload: yield* newGrant })
      const params = { id }
      const statusNow = Effect.map(issuer.grants.status({ params }), ({ status }) => status)
      assert.strictEqual(yield* statusNow, "active")
      assert.strictEqual((yield* issuer.grants.suspend({ params })).status, "suspended")
      assert.strictEqual(yield* statusNow, "suspended")
      const { pem: csr } = yield* makeCsr("P-256")
      const refused = yield* Effect.flip(issuer.certificates.issue({ params, headers: {}, payload: { csr } }))
      assert.strictEqual(refused._tag, "GrantSuspended")
      const explained = yield* issuer.grants.explain({ params })
      assert.deepStrictEqual(
        explained.rules.filter(({ outcome }) => outcome === "fails").map(({ errorCode }) => errorCode),
        ["GRANT_SUSPENDED"]
      )
      assert.strictEqual((yield* issuer.grants.resume({ params })).status, "active")
      assert.strictEqual(yield* statusNow, "active")

      const end = (days: number) =>
        Effect.map(inDays(days), (expiresAt) => ({ params, payload: { expiresAt } }))
      const shorter = yield* issuer.grants.changeExpiry(yield* end(1))
      const soon = yield* issuer.grants.list({ query: { expiring: Duration.hours(25) } })
      assert.deepStrictEqual(
        soon.grants.map((grant) => grant.id),
        [id]
      )
      const longer = yield* Effect.flip(issuer.grants.changeExpiry(yield* end(2)))
      assert.strictEqual(longer._tag, "ScopeInsufficient")
      assert.include(longer.message, "a later end of a grant needs the scope admin")
      const extended = yield* operator.grants.changeExpiry(yield* end(2))
      assert.isTrue(DateTime.isGreaterThan(extended.expiresAt, shorter.expiresAt))
      const past = yield* Effect.flip(operator.grants.changeExpiry(yield* end(-1)))
      assert.strictEqual(past._tag, "RequestInvalid")
      const explainedNow = yield* issuer.grants.explain({ params })
      assert.deepStrictEqual([explainedNow.mayIssue, explainedNow.next?.errorCode], [true, "GRANT_TOO_SHORT"])
    })
  )

  it.effect("ends all grants of one holder, and tells before what it would end", () =>
    Effect.gen(function* () {
      const { operator } = yield* gatewayAtCa()
      const peer = PeerName.make("leaving.example")
      const payload = { ...(yield* newGrant), peer }
      const { id } = yield* operator.grants.create({ payload })
      const other = yield* operator.grants.create({ payload })
      const stays = yield* operator.grants.create({ payload: yield* newGrant })
      const { pem: csr } = yield* makeCsr("P-256")
      const issued = yield* operator.certificates.issue({ params: { id }, headers: {}, payload: { csr } })
      const told = yield* operator.grants.revokeHolder({ payload: { peer, reason: "left", dryRun: true } })
      assert.deepStrictEqual([told.dryRun, told.grants.length, told.liveCertificates], [true, 2, 1])
      assert.strictEqual((yield* operator.grants.get({ params: { id } })).status, "active")
      const done = yield* operator.grants.revokeHolder({ payload: { peer, reason: "left" } })
      assert.sameMembers(
        done.grants.map(({ grant }) => `${grant.id} ${grant.status}`),
        [`${id} revoked`, `${other.id} revoked`]
      )
      const record = yield* operator.certificates.get({ params: { serial: issued.serial } })
      assert.isNotNull(record.revokedAtCa)
      assert.strictEqual((yield* operator.grants.get({ params: { id: stays.id } })).status, "active")
      const neither = yield* Effect.flip(operator.grants.revokeHolder({ payload: { reason: "left" } }))
      assert.strictEqual(neither._tag, "RequestInvalid")
    })
  )

  it.effect("finds certificates of the ledger, and revokes one of them alone", () =>
    Effect.gen(function* () {
      const { gateway, operator, rootPath } = yield* gatewayAtCa()
      const { id } = yield* operator.grants.create({ payload: yield* newGrant })
      const issue = Effect.fnUntraced(function* (lifetime: Duration.Duration) {
        const { pem: csr, privateKeyPem } = yield* makeCsr("P-256")
        const payload = { csr, lifetime }
        const issued = yield* operator.certificates.issue({ params: { id }, headers: {}, payload })
        const certificate = { cert: issued.certificate + issued.chain.join(""), key: privateKeyPem }
        return { serial: issued.serial, peer: yield* clientOf(gateway.url, { rootPath, certificate }) }
      })
      const short = yield* issue(Duration.minutes(30))
      const long = yield* issue(Duration.hours(20))
      const found = (query: Parameters<typeof operator.certificates.list>[0]["query"]) =>
        Effect.map(operator.certificates.list({ query }), ({ certificates }) =>
          certificates.map(({ serial }) => serial)
        )
      assert.deepStrictEqual(yield* found({ expiring: Duration.hours(1) }), [short.serial])
      assert.deepStrictEqual(yield* found({ user: userId }), [long.serial, short.serial])
      assert.deepStrictEqual(yield* found({ peer: PeerName.make("other.example") }), [])
      assert.deepStrictEqual(yield* found({ state: "ambiguous" }), [])
      const params = { serial: short.serial }
      const revoked = yield* operator.certificates.revoke({ params, payload: { reason: "key lost" } })
      assert.isNotNull(revoked.revokedAtCa)
      assert.deepStrictEqual(yield* found({ expiring: Duration.hours(1) }), [])
      assert.deepStrictEqual(yield* found({ expiring: Duration.hours(21) }), [long.serial])
      const refused = yield* Effect.flip(short.peer.identity.whoami())
      assert.strictEqual(refused._tag, "PeerCertificateRevoked")
      assert.strictEqual((yield* long.peer.identity.whoami()).grantId, id)
      const again = yield* operator.certificates.revoke({ params, payload: { reason: "key lost" } })
      assert.deepStrictEqual(again.revokedAtCa, revoked.revokedAtCa)
    })
  )

  it.effect("an Idempotency-Key stands for one request, and brings what that brought", () =>
    Effect.gen(function* () {
      const { operator } = yield* gatewayAtCa()
      const { id } = yield* operator.grants.create({ payload: yield* newGrant })
      const { pem: csr } = yield* makeCsr("P-256")
      const issue = (key: string, payload: { readonly csr: string }) =>
        operator.certificates.issue({ params: { id }, headers: { "idempotency-key": key }, payload })
      const first = yield* issue("order-4711", { csr })
      const again = yield* issue("order-4711", { csr })
      assert.deepStrictEqual(again, first)
      const reused = yield* Effect.flip(issue("order-4711", { csr: (yield* makeCsr("P-256")).pem }))
      assert.strictEqual("code" in reused ? reused.code : reused._tag, "IDEMPOTENCY_KEY_REUSED")
      assert.include("remediation" in reused ? reused.remediation : "", "use a new Idempotency-Key")
      const { certificates } = yield* operator.certificates.list({ query: { grant: id } })
      assert.lengthOf(certificates, 1)
    })
  )

  it.effect("traces a request over OTLP, with the steps of its issuance", () =>
    Effect.gen(function* () {
      const { spans, url } = yield* collector
      const { gateway, operator } = yield* gatewayAtCa({ OTEL_EXPORTER_OTLP_ENDPOINT: url })
      const grant = yield* operator.grants.create({ payload: yield* newGrant })
      const { pem } = yield* makeCsr("P-256")
      yield* operator.certificates.issue({ params: { id: grant.id }, headers: {}, payload: { csr: pem } })
      const line = yield* gateway.logged(({ route }) => route === "/v1/grants/:id/certificates")
      assert.strictEqual(yield* gateway.end("SIGTERM"), 0)
      const ofRequest = spans.filter(({ traceId }) => traceId === line["traceId"])
      assert.includeMembers(
        ofRequest.map(({ name }) => name),
        ["Issuance.issue", "GrantRepo.recordIntent", "StepCa.sign", "GrantRepo.recordIssued"]
      )
      const root = ofRequest.find(({ attributes }) =>
        attributes.some(
          ({ key, value }) => key === "mosaic.request_id" && value.stringValue === line["requestId"]
        )
      )
      assert.isDefined(root)
      const other = spans.filter(({ traceId }) => traceId !== line["traceId"])
      assert.isAbove(other.length, 0)
      const secrets = /mosaic_key_1_|BEGIN|eyJ/
      assert.notMatch(JSON.stringify(spans), secrets)
    })
  )

  it.effect("opens health, roots and documentation to anybody, and metrics to keys", () =>
    Effect.gen(function* () {
      const { admin, ca, gateway, rootPath } = yield* gatewayAtCa()
      const open = (path: string) => get(`${gateway.url}${path}`, rootPath)
      assert.deepStrictEqual(JSON.parse((yield* open("/healthz")).text), { status: "ok" })
      const ready = JSON.parse((yield* open("/readyz")).text) as { readonly status: string }
      assert.strictEqual(ready.status, "ready")
      assert.strictEqual((yield* open("/v1/roots")).text, readFileSync(ca.rootPath, "utf8"))
      assert.include((yield* open("/docs")).text, "createApiReference")
      const spec = JSON.parse((yield* open("/openapi.json")).text) as { readonly paths: object }
      assert.includeMembers(Object.keys(spec.paths), ["/v1/grants", "/v1/enroll", "/v1/renew", "/v1/whoami"])
      assert.strictEqual((yield* open("/metrics")).status, 401)
      const metrics = yield* get(`${gateway.url}/metrics`, rootPath, { authorization: `Bearer ${admin.key}` })
      assert.match(metrics.headers["content-type"] ?? "", /^text\/plain; version=0\.0\.4/)
      assert.match(
        metrics.text,
        /mosaic_http_requests_total\{method="GET",route="\/healthz",status="200"\} 1/
      )
    })
  )

  it.effect("counts certificates and tasks of the ledger, and times the steps of an issuance", () =>
    Effect.gen(function* () {
      const { admin, gateway, operator, rootPath } = yield* gatewayAtCa()
      const grant = yield* operator.grants.create({ payload: yield* newGrant })
      const { pem } = yield* makeCsr("P-256")
      yield* operator.certificates.issue({ params: { id: grant.id }, headers: {}, payload: { csr: pem } })
      const { text } = yield* get(`${gateway.url}/metrics`, rootPath, {
        authorization: `Bearer ${admin.key}`
      })
      const lines = text.split("\n")
      assert.includeMembers(lines, [
        "mosaic_certificates_live 1",
        "mosaic_certificates_expiring 0",
        "mosaic_queue_oldest_due_seconds 0",
        'mosaic_ca_request_duration_seconds_count{operation="sign"} 1'
      ])
      // The key of the request has brought the grant with it.
      for (const step of timedSteps.filter((one) => one !== "find_grant")) {
        assert.include(lines, `mosaic_issuance_step_duration_seconds_count{step="${step}"} 1`)
        const sum = new RegExp(`^mosaic_issuance_step_duration_seconds_sum\\{step="${step}"\\} (\\S+)$`, "m")
        const seconds = Number(sum.exec(text)?.[1])
        assert.isTrue(seconds > 0 && seconds < 60, `${step}: ${seconds}`)
      }
      const refused = yield* Effect.flip(
        operator.certificates.issue({ params: { id: grant.id }, headers: {}, payload: { csr: "none" } })
      )
      assert.strictEqual(refused._tag, "CsrMalformed")
      const after = yield* get(`${gateway.url}/metrics`, rootPath, { authorization: `Bearer ${admin.key}` })
      assert.includeMembers(after.text.split("\n"), [
        'mosaic_issuance_step_duration_seconds_count{step="read_csr"} 2',
        'mosaic_issuance_step_duration_seconds_count{step="check_grant"} 1'
      ])
      const readAt = /^mosaic_ledger_read_timestamp_seconds (\S+)$/m.exec(text)?.[1]
      assert.approximately(Number(readAt), Date.now() / 1000, 120)
    })
  )

  it.effect("says in readyz what is away, and tells strangers no more than its code", () =>
    Effect.gen(function* () {
      const { ca, gateway, rootPath } = yield* gatewayAtCa()
      yield* ca.stop
      const { status, text } = yield* Effect.repeat(get(`${gateway.url}/readyz`, rootPath), {
        until: (answer) => answer.status === 503
      })
      assert.strictEqual(status, 503)
      assert.deepInclude(JSON.parse(text), {
        status: "unavailable",
        checks: [
          { name: "database", ok: true, required: true, code: null },
          { name: "ca", ok: false, required: true, code: "CA_CONNECTION_REFUSED" }
        ]
      })
      assert.notInclude(text, String(ca.port))
      yield* ca.start
    })
  )

  it.effect("serves on when nobody reads its log any more", () =>
    Effect.gen(function* () {
      const { gateway, operator, rootPath } = yield* gatewayAtCa()
      gateway.leaveLog()
      for (let line = 0; line < 3; line += 1) {
        assert.strictEqual((yield* get(`${gateway.url}/healthz`, rootPath)).status, 200)
      }
      const grant = yield* operator.grants.create({ payload: yield* newGrant })
      assert.strictEqual(grant.status, "active")
      assert.strictEqual(yield* gateway.end("SIGTERM"), 0)
    })
  )

  it.effect("renews its own certificate in place, while connections stay", () =>
    Effect.gen(function* () {
      // Renewed after two thirds of it.
      const ca = yield* StepCaProcess.make({ lifetimes: { min: "5s", default: "1h", max: "24h" } })
      const where = yield* station(ca.environment)
      const gateway = yield* startGateway(where, { MOSAIC_GATEWAY_CERT_LIFETIME: "15s" })
      const first = yield* shownBy(gateway.url, ca.rootPem)
      assert.strictEqual(first.names, "DNS:localhost, IP Address:127.0.0.1")
      const isRenewed = ({ message }: { readonly message: string }) =>
        message === "the gateway's certificate is renewed"
      yield* gateway.logged(isRenewed)
      const second = yield* shownBy(gateway.url, ca.rootPem)
      assert.notStrictEqual(second.serial, first.serial)
      assert.include(
        gateway
          .log()
          .filter(isRenewed)
          .map(({ serial }) => serial),
        BigInt(`0x${second.serial}`).toString()
      )
    })
  )

  it.effect(
    "SIGHUP: goes on with a new root bundle and new keys, and with the old where the new will not do",
    () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const where = yield* station(ca.environment)
        const bundle = join(where.directory, "roots.pem")
        const password = join(where.directory, "password")
        writeFileSync(bundle, ca.rootPem)
        copyFileSync(ca.provisioner.passwordPath, password)
        const { key } = yield* makeKey(where, "admin")
        const gateway = yield* startGateway(where, {
          STEP_CA_ROOT_CERT_PATH: bundle,
          STEP_CA_PROVISIONER_PASSWORD_FILE: password
        })
        const operator = yield* clientOf(gateway.url, { rootPath: ca.rootPath, bearer: key })
        const grant = yield* operator.grants.create({ payload: yield* newGrant })
        const issue = Effect.flatMap(makeCsr("P-256"), ({ pem }) =>
          operator.certificates.issue({ params: { id: grant.id }, headers: {}, payload: { csr: pem } })
        )
        const reload = Effect.sync(() => process.kill(gateway.pid, "SIGHUP"))

        const another = yield* makeRoot("Another Root CA")
        writeFileSync(bundle, `${ca.rootPem}${another.pem}\n`)
        yield* reload
        yield* gateway.logged(({ message }) => message === "reloaded")
        assert.strictEqual((yield* operator.roots.roots()).match(/BEGIN CERTIFICATE/g)?.length, 2)
        yield* issue

        writeFileSync(password, "not the password")
        yield* reload
        const refused = yield* gateway.logged(({ message }) => message.startsWith("not reloaded"))
        assert.strictEqual(refused["code"], "PROVISIONER_KEY_WRONG_PASSWORD")
        yield* issue
      })
  )

  it.effect("names the setting that it does not start with", () =>
    Effect.gen(function* () {
      const { environment } = yield* StepCaProcess
      const where = yield* station(environment)
      const start = (extra: Extra, ...args: ReadonlyArray<string>) =>
        Effect.map(mosaic(where, ["gateway", "serve", "--json", ...args], extra), ({ code, stdout }) => {
          const { error } = documentOf<ErrorDocument>(stdout)
          return [code, error.code, error.remediation, error.details["variable"]] as const
        })
      const [code, error, , variable] = yield* start({
        MOSAIC_PLAIN_HTTP: "true",
        MOSAIC_LISTEN: "0.0.0.0:0"
      })
      assert.deepStrictEqual([code, error, variable], [8, "CONFIG_INVALID", "MOSAIC_PLAIN_HTTP"])
      for (const [name, value] of [
        ["MOSAIC_LISTEN", "8443"],
        ["MOSAIC_MAX_BODY", "1k"],
        ["MOSAIC_RATE_PER_KEY", "many"],
        ["MOSAIC_TRUSTED_PROXIES", "10.0.0.0/33"],
        ["MOSAIC_PUBLIC_URL", "http://gateway.example"],
        ["MOSAIC_METRICS_LISTEN", "0.0.0.0:9464"],
        ["MOSAIC_REQUEST_TIMEOUT", "soon"],
        ["MOSAIC_GATEWAY_NAMES", "Gateway_Example"]
      ] as const) {
        const found = yield* start({ [name]: value })
        assert.deepStrictEqual([found[0], found[1], found[3]], [8, "CONFIG_INVALID", name])
      }
      const names = yield* start({ MOSAIC_GATEWAY_NAMES: "gateway.example" })
      assert.deepStrictEqual(names.slice(0, 2), [4, "SERVER_CERTIFICATE_REFUSED"])
      assert.include(names[2], "set MOSAIC_GATEWAY_NAMES alike for the CA and the gateway")
      const gateway = yield* startGateway(where)
      const taken = yield* start({}, "--listen", new URL(gateway.url).host)
      assert.deepStrictEqual(taken.slice(0, 2), [8, "LISTEN_FAILED"])
      assert.include(taken[2], "see who listens there (ss -ltnp)")
    })
  )
})
