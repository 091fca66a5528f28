/** Asks operators who they are, by API key or by a token of the OIDC issuer, and holds the contract's `Access` against it. */
import { Access, includesScope } from "@mosaic-federation/domain/api/Access"
import { CurrentOperator, type Operator, OperatorAuth } from "@mosaic-federation/domain/api/OperatorAuth"
import { CurrentRequest } from "@mosaic-federation/domain/CurrentRequest"
import { AuthenticationRequired, ScopeInsufficient } from "@mosaic-federation/domain/ServerErrors"
import { Context, Effect, Layer, Redacted } from "effect"
import type { HttpApiEndpoint } from "effect/http-api"
import { RateLimits } from "../RateLimits.ts"
import { ApiKeys } from "./ApiKeys.ts"
import { looksLikeJwt, OidcVerifier } from "./OidcVerifier.ts"
import { CurrentRecord } from "./RequestRecord.ts"
import { ServerConfig } from "./ServerConfig.ts"

const neededScope = ({ annotations, method, path }: HttpApiEndpoint.Top) => {
  const rule = Context.getOrUndefined(annotations, Access)
  if (rule?._tag === "Operator") return rule.scope
  throw new Error(`${method} ${path} is guarded and does not say by which scope`)
}

export const layer = Layer.effect(
  OperatorAuth,
  Effect.gen(function* () {
    const { perKey } = yield* ServerConfig
    const issuer = yield* OidcVerifier
    const keys = yield* ApiKeys
    const limits = yield* RateLimits

    const identify = Effect.fnUntraced(function* (credential: Redacted.Redacted, from: string) {
      if (Redacted.value(credential) === "") return yield* new AuthenticationRequired()
      if (looksLikeJwt(credential)) {
        const { scope, subject } = yield* issuer.verify(credential)
        return { scope, requester: `oidc:${subject}` }
      }
      const { id, scope } = yield* keys.authenticate(credential, from)
      return { scope, requester: `api-key:${id}` }
    })

    return OperatorAuth.of({
      bearer: (httpEffect, { credential, endpoint }) => {
        const needed = neededScope(endpoint)
        return Effect.gen(function* () {
          const record = yield* CurrentRecord
          const { requester, scope } = yield* identify(credential, record.from)
          record.requester = requester
          yield* limits.count(perKey, requester)
          if (scope === null || !includesScope(scope, needed)) {
            const action = `${endpoint.method} ${endpoint.path}`
            return yield* new ScopeInsufficient({ needed, held: scope ?? "none", action })
          }
          const operator: Operator = { scope, requester }
          return yield* httpEffect.pipe(
            Effect.provideService(CurrentOperator, operator),
            Effect.provideService(CurrentRequest, {
              requester,
              requestId: record.requestId
            })
          )
        })
      }
    })
  })
)
