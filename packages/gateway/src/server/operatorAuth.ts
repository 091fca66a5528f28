/** Asks operators who they are, by API key or by a token of the OIDC issuer, and holds the contract's `Access` against it. */
import { Access, includesScope } from "@mosaic-federation/domain/api/Access"
import { CurrentOperator, type Operator, OperatorAuth } from "@mosaic-federation/domain/api/OperatorAuth"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { isGrantId } from "@mosaic-federation/domain/GrantId"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { RequestInvalid } from "@mosaic-federation/domain/RequestErrors"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { AuthenticationRequired, ScopeInsufficient } from "@mosaic-federation/domain/ServerErrors"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { HttpRouter, HttpServerRequest } from "effect/http"
import type { HttpApiEndpoint } from "effect/http-api"
import { RateLimits } from "../RateLimits.ts"
import { ApiKeys } from "./ApiKeys.ts"
import { AuditedRefusals } from "./AuditedRefusals.ts"
import { GrantOfPath, grantIdOf } from "./GrantOfPath.ts"
import { looksLikeJwt, OidcVerifier } from "./OidcVerifier.ts"
import { CurrentRecord } from "./RequestRecord.ts"
import { ServerConfig } from "./ServerConfig.ts"

const neededScope = ({ annotations, method, path }: HttpApiEndpoint.Top) => {
  const rule = Context.getOrUndefined(annotations, Access)
  if (rule?._tag === "Operator") return rule.scope
  throw new Error(`${method} ${path} is guarded and does not say by which scope`)
}

/** Undefined where the contract has a query, which is decoded there. */
const unknownParameter = (endpoint: HttpApiEndpoint.Top) =>
  endpoint.query === undefined
    ? Effect.map(HttpServerRequest.ParsedSearchParams, (query) => Object.keys(query)[0])
    : Effect.succeed(undefined)

const isSerial = Schema.is(SerialNumber)

/** What a request that is refused asked for. */
const eventOf = Effect.fnUntraced(function* ({ method, path }: HttpApiEndpoint.Top) {
  const { id, serial } = yield* HttpRouter.params
  return {
    action: "operator.request" as const,
    grantId: isGrantId(id) ? id : null,
    serial: isSerial(serial) ? serial : null,
    subject: `${method} ${path}`
  }
})

export const layer = Layer.effect(
  OperatorAuth,
  Effect.gen(function* () {
    const { perKey } = yield* ServerConfig
    const issuer = yield* OidcVerifier
    const keys = yield* ApiKeys
    const limits = yield* RateLimits
    const refusals = yield* AuditedRefusals

    const identify = Effect.fnUntraced(function* (
      credential: Redacted.Redacted,
      from: string,
      endpoint: HttpApiEndpoint.Top
    ) {
      if (Redacted.value(credential) === "") return yield* new AuthenticationRequired()
      if (looksLikeJwt(credential)) {
        const { scope, subject } = yield* issuer.verify(credential)
        return { scope, requester: `oidc:${subject}`, grant: null }
      }
      const grantId = grantIdOf(endpoint, yield* HttpRouter.params)
      const { grant, key } = yield* keys.authenticate(credential, from, grantId)
      return { scope: key.scope, requester: `api-key:${key.id}`, grant }
    })

    /** Of somebody who has proved who they are. */
    const noteRefusal = (error: MosaicError, whose: string, endpoint: HttpApiEndpoint.Top) =>
      Effect.flatMap(eventOf(endpoint), (event) =>
        refusals.note({ error, whose, event: Effect.succeed(event) })
      )

    return OperatorAuth.of({
      bearer: (httpEffect, { credential, endpoint }) => {
        const needed = neededScope(endpoint)
        return Effect.gen(function* () {
          const record = yield* CurrentRecord
          const { grant, requester, scope } = yield* identify(credential, record.from, endpoint).pipe(
            Effect.tapError((error) =>
              error._tag === "ApiKeyRevoked" || error._tag === "ApiKeyExpired"
                ? noteRefusal(error, `api-key:${error.keyId}`, endpoint)
                : Effect.void
            )
          )
          record.requester = requester
          yield* limits.count(perKey, requester)
          if (scope === null || !includesScope(scope, needed)) {
            const action = `${endpoint.method} ${endpoint.path}`
            const error = new ScopeInsufficient({ needed, held: scope ?? "none", action })
            yield* noteRefusal(error, requester, endpoint)
            return yield* error
          }
          const unknown = yield* unknownParameter(endpoint)
          if (unknown !== undefined) {
            return yield* new RequestInvalid({
              problem: `query: ${JSON.stringify(unknown)} is no parameter of this endpoint, which has none`
            })
          }
          const operator: Operator = { scope, requester }
          const { requestId } = record
          return yield* Effect.updateContext(httpEffect, (context: Context.Context<never>) =>
            context.pipe(
              Context.add(CurrentOperator, operator),
              Context.add(GrantOfPath, grant),
              Context.add(CurrentRequest, { requester, requestId })
            )
          )
        })
      }
    })
  })
)
