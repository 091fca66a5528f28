/** Operators with tokens of an OIDC issuer, which is npm's oidc-provider: who is let in, and who is told why not. */
import { generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { DateTime, Effect, Schedule } from "effect"
import { SignJWT } from "jose"
import { clientOf, startGateway } from "./support/gatewayProcess.ts"
import { documentOf, type ErrorDocument, mosaic, station, user } from "./support/mosaic.ts"
import { elsewhere, type OidcIssuer, oidcIssuer } from "./support/oidcIssuer.ts"

const gatewayFor = Effect.fnUntraced(function* ({ audience, issuer }: OidcIssuer, extra = {}) {
  const { environment, rootPath } = yield* StepCaProcess
  const where = yield* station({
    ...environment,
    MOSAIC_OIDC_ISSUER: issuer,
    MOSAIC_OIDC_AUDIENCE: audience
  })
  const gateway = yield* startGateway(where, extra)
  const as = (bearer: string) => clientOf(gateway.url, { rootPath, bearer })
  const refusal = Effect.fnUntraced(function* (bearer: string) {
    const error = yield* Effect.flip((yield* as(bearer)).grants.list({ query: {} }))
    return "code" in error ? error : yield* Effect.die(error)
  })
  return { gateway, as, refusal }
})

layer(StepCaProcess.layer(), { excludeTestServices: true })("operators of an OIDC issuer", (it) => {
  it.effect("have the scope that their claim says", () =>
    Effect.gen(function* () {
      const issuer = yield* oidcIssuer(["read", "admin", "visitor"])
      const { as, gateway, refusal } = yield* gatewayFor(issuer)
      const reader = yield* as(yield* issuer.token("read"))
      assert.deepStrictEqual((yield* reader.grants.list({ query: {} })).grants, [])
      const line = yield* gateway.logged((one) => one["route"] === "/v1/grants")
      assert.strictEqual(line["requester"], "oidc:operator-read")
      const none = yield* refusal(yield* issuer.token("visitor"))
      assert.deepStrictEqual([none.code, none.message.includes("this is none")], ["SCOPE_INSUFFICIENT", true])
      const admin = yield* as(yield* issuer.token("admin"))
      const [entry] = yield* Effect.repeat(
        Effect.map(admin.audit.list({ query: {} }), ({ entries }) => entries),
        { until: ({ length }) => length > 0, schedule: Schedule.spaced("100 millis") }
      )
      assert.deepInclude(entry, {
        action: "operator.request",
        requester: "oidc:operator-visitor",
        subject: "GET /v1/grants",
        errorCode: "SCOPE_INSUFFICIENT"
      })
    })
  )

  it.effect("have certificates issued, and are told of a grant that is none", () =>
    Effect.gen(function* () {
      const issuer = yield* oidcIssuer(["issue"])
      const { as, gateway } = yield* gatewayFor(issuer, { MOSAIC_METRICS_LISTEN: "127.0.0.1:0" })
      const operator = yield* as(yield* issuer.token("issue"))
      const grant = yield* operator.grants.create({
        payload: {
          subjectUserId: UserId.make(user),
          peer: PeerName.make("peer.example"),
          scopes: [],
          expiresAt: DateTime.makeUnsafe(Date.now() + 3_600_000)
        }
      })
      const { pem: csr } = yield* makeCsr("P-256")
      const issue = (id: GrantId) =>
        operator.certificates.issue({ params: { id }, headers: {}, payload: { csr } })
      assert.strictEqual((yield* issue(grant.id)).grantId, grant.id)
      const error = yield* Effect.flip(issue(GrantId.make(randomUUID())))
      assert.strictEqual("code" in error ? error.code : error._tag, "GRANT_NOT_FOUND")
      const { url } = yield* gateway.logged(({ message }) => message === "metrics without a key")
      const metrics = yield* Effect.promise(() => fetch(String(url)).then((response) => response.text()))
      assert.include(metrics, 'mosaic_issuance_step_duration_seconds_count{step="find_grant"} 2\n')
    })
  )

  it.effect("are refused with the claim that is wrong", () =>
    Effect.gen(function* () {
      const issuer = yield* oidcIssuer(["read"])
      const { refusal } = yield* gatewayFor(issuer)
      const refused = Effect.fnUntraced(function* (token: string, problem: string) {
        const error = yield* refusal(token)
        assert.deepStrictEqual([error.code, error.message], ["OPERATOR_TOKEN_REFUSED", problem])
        assert.include(error.remediation, "sign in again for a fresh token")
      })
      yield* refused(yield* issuer.token("read", { audience: elsewhere }), `aud: expected ${issuer.audience}`)
      const good = yield* issuer.token("read")
      const signature = good.lastIndexOf(".") + 1
      const altered = good[signature] === "A" ? "B" : "A"
      yield* refused(
        `${good.slice(0, signature)}${altered}${good.slice(signature + 1)}`,
        "the signature is not the issuer's"
      )
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
      const make = (key: KeyObject | Uint8Array, alg: string, claims: object, kid = "signing") =>
        Effect.promise(() =>
          new SignJWT({ mosaic_scope: "admin", sub: "mallory", ...claims })
            .setProtectedHeader({ alg, kid })
            .sign(key)
        )
      const now = Math.floor(Date.now() / 1000)
      const claims = { iss: issuer.issuer, aud: issuer.audience, exp: now + 60 }
      yield* refused(yield* make(privateKey, "ES256", claims), "the signature is not the issuer's")
      yield* refused(
        yield* make(privateKey, "ES256", claims, "other"),
        "kid: the issuer publishes no such key"
      )
      const shared = new TextEncoder().encode(publicKey.export({ format: "pem", type: "spki" }) as string)
      yield* refused(
        yield* make(shared, "HS256", claims),
        "alg: only RS256, PS256, ES256, ES384, EdDSA are accepted"
      )
      const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.AA`
      yield* refused(none, "alg: only RS256, PS256, ES256, ES384, EdDSA are accepted")
    })
  )

  it.effect("are refused when their token is over, and when it is another issuer's", () =>
    Effect.gen(function* () {
      const issuer = yield* oidcIssuer(["read"])
      const other = yield* oidcIssuer(["read"])
      const { refusal } = yield* gatewayFor(issuer)
      const foreign = yield* refusal(yield* other.token("read"))
      assert.strictEqual(foreign.code, "OPERATOR_TOKEN_REFUSED")
      const now = Math.floor(Date.now() / 1000)
      const over = yield* refusal(yield* issuer.sign({ exp: now - 60 }))
      assert.deepStrictEqual(
        [over.code, over.message],
        ["OPERATOR_TOKEN_REFUSED", "exp: the token has expired"]
      )
      const endless = yield* refusal(yield* issuer.sign({}))
      assert.strictEqual(endless.message, "exp: it is missing or not a number")
      const nobody = yield* refusal(yield* issuer.sign({ exp: now + 60, sub: "\u0007" }))
      assert.strictEqual(nobody.message, "sub: it is not 1 to 255 ASCII characters")
    })
  )

  it.effect("are told when the issuer is away, and need none of it where keys are known", () =>
    Effect.gen(function* () {
      const issuer = yield* oidcIssuer(["read"])
      const known = yield* gatewayFor(issuer)
      const fresh = yield* gatewayFor(issuer)
      const token = yield* issuer.token("read")
      const reader = yield* known.as(token)
      yield* reader.grants.list({ query: {} })
      yield* issuer.stop
      assert.deepStrictEqual((yield* reader.grants.list({ query: {} })).grants, [])
      const error = yield* fresh.refusal(token)
      assert.strictEqual(error.code, "OPERATOR_ISSUER_UNAVAILABLE")
      assert.include(error.remediation, "try it from the gateway: curl")
    })
  )

  it.effect("take an issuer that can be trusted, and public key signatures alone", () =>
    Effect.gen(function* () {
      const { environment } = yield* StepCaProcess
      const where = yield* station({ ...environment, MOSAIC_OIDC_AUDIENCE: "gateway" })
      for (const [variable, value, issuer] of [
        ["MOSAIC_OIDC_ISSUER", "http://id.example", "http://id.example"],
        ["MOSAIC_OIDC_ALGORITHMS", "RS256,HS256", "https://id.example"]
      ] as const) {
        const { code, stdout } = yield* mosaic(
          where,
          ["gateway", "serve", "--listen", "127.0.0.1:0", "--json"],
          {
            MOSAIC_OIDC_ISSUER: issuer,
            [variable]: value
          }
        )
        const { error } = documentOf<ErrorDocument>(stdout)
        assert.deepStrictEqual([code, error.code, error.details["variable"]], [8, "CONFIG_INVALID", variable])
      }
    })
  )
})
