/** npm's oidc-provider on a loopback port: an issuer whose operators get tokens by client credentials (RFC 6749 §4.4). */
import { generateKeyPairSync } from "node:crypto"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect } from "effect"
import { type JWTPayload, SignJWT } from "jose"
import { Provider } from "oidc-provider"

export interface OidcIssuer {
  readonly issuer: string
  readonly audience: string
  /** A token of an operator whose claim `mosaic_scope` has this value. */
  readonly token: (scope: string, options?: { readonly audience?: string }) => Effect.Effect<string>
  /** A token by the issuer's own key that the issuer would not give. */
  readonly sign: (claims: JWTPayload) => Effect.Effect<string>
  /** Stops answering. */
  readonly stop: Effect.Effect<void>
}

const audience = "https://gateway.example"
export const elsewhere = "https://another-service.example"
const secret = "client-secret-of-at-least-thirty-two-characters"

const listen = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    return server
  }),
  (server) =>
    Effect.promise(async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
)

/** Each operator is a client, named by the value of its claim. */
export const oidcIssuer = (scopes: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const server = yield* listen
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const provider = new Provider(issuer, {
      clients: scopes.map((scope) => ({
        client_id: `operator-${scope}`,
        client_secret: secret,
        grant_types: ["client_credentials"],
        id_token_signed_response_alg: "ES256",
        redirect_uris: [],
        response_types: []
      })),
      jwks: {
        keys: [{ ...privateKey.export({ format: "jwk" }), kid: "signing", use: "sig", alg: "ES256" }] as never
      },
      scopes: ["operate"],
      extraTokenClaims: (_context, token) => ({
        mosaic_scope: (token as { readonly clientId?: string }).clientId?.replace("operator-", "")
      }),
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_context, resource) => ({
            scope: "operate",
            audience: resource,
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "ES256" } }
          })
        }
      }
    })
    server.on("request", provider.callback() as RequestListener)
    const token = (scope: string, options: { readonly audience?: string } = {}) =>
      Effect.promise(async () => {
        const response = await fetch(`${issuer}/token`, {
          method: "POST",
          headers: {
            authorization: `Basic ${Buffer.from(`operator-${scope}:${secret}`).toString("base64")}`,
            "content-type": "application/x-www-form-urlencoded"
          },
          body: new URLSearchParams({
            grant_type: "client_credentials",
            scope: "operate",
            resource: options.audience ?? audience
          })
        })
        const answer = (await response.json()) as { readonly access_token?: string }
        if (answer.access_token === undefined) throw new Error(JSON.stringify(answer))
        return answer.access_token
      })
    const stop = Effect.promise(async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
    const sign = (claims: JWTPayload) =>
      Effect.promise(() =>
        new SignJWT({ iss: issuer, aud: audience, sub: "alice", mosaic_scope: "admin", ...claims })
          .setProtectedHeader({ alg: "ES256", kid: "signing" })
          .sign(privateKey)
      )
    return { issuer, audience, token, sign, stop } satisfies OidcIssuer
  })
