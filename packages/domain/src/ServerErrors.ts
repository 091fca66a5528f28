/** Why the gateway's server does not take a request, whatever it asks for, or does not serve at all. */
import { DateTime, Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

const refused = { exitCode: ExitCode.refused, retryable: false } as const

const newKey = "have a key made: mosaic gateway key create --name NAME --scope SCOPE"

export class AuthenticationRequired extends ErrorClass<AuthenticationRequired>()(
  "AuthenticationRequired",
  {},
  {
    ...refused,
    code: "AUTHENTICATION_REQUIRED",
    title: "The request does not say who asks",
    explanation:
      "This endpoint is for operators, and the request has no Authorization header of the scheme Bearer (RFC 6750 §2.1).",
    httpStatus: 401,
    message: () => `there is no Authorization: Bearer header`,
    remediation: () =>
      `set MOSAIC_API_KEY or MOSAIC_API_KEY_FILE, or send Authorization: Bearer KEY; for a first key: ${newKey.replace("have a key made: ", "")}`
  }
) {}

export class ApiKeyUnknown extends ErrorClass<ApiKeyUnknown>()(
  "ApiKeyUnknown",
  {},
  {
    ...refused,
    code: "API_KEY_UNKNOWN",
    title: "No such API key was made here",
    explanation:
      "The gateway has no record of this key: it is another gateway's, it was cut or altered, or it is another kind of secret.",
    httpStatus: 401,
    message: () => `the key is not on record at this gateway`,
    remediation: () => `check that key and URL are of the same gateway, or ${newKey}`
  }
) {}

export class ApiKeyRevoked extends ErrorClass<ApiKeyRevoked>()(
  "ApiKeyRevoked",
  { keyId: Schema.String, revokedAt: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "API_KEY_REVOKED",
    title: "The API key is revoked",
    explanation: "Somebody took the key back: mosaic gateway key list shows when.",
    httpStatus: 401,
    message: ({ keyId, revokedAt }) => `API key ${keyId} was revoked at ${DateTime.formatIso(revokedAt)}`,
    remediation: () => newKey
  }
) {}

export class ApiKeyExpired extends ErrorClass<ApiKeyExpired>()(
  "ApiKeyExpired",
  { keyId: Schema.String, expiredAt: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "API_KEY_EXPIRED",
    title: "The API key has expired",
    explanation:
      "The key was made for a time, or a rotation has put a new one in its place and the time in which both worked is over.",
    httpStatus: 401,
    message: ({ expiredAt, keyId }) => `API key ${keyId} expired at ${DateTime.formatIso(expiredAt)}`,
    remediation: () => `use the key that took its place, or ${newKey}`
  }
) {}

export class ApiKeyRotated extends ErrorClass<ApiKeyRotated>()(
  "ApiKeyRotated",
  { keyId: Schema.String, rotatedTo: Schema.String },
  {
    ...refused,
    code: "API_KEY_ROTATED",
    title: "The API key was rotated before",
    explanation:
      "Another key has taken its place already, and a key has one successor: who rotates it once more would not know of the one before.",
    httpStatus: 409,
    message: ({ keyId, rotatedTo }) => `API key ${keyId} was rotated to ${rotatedTo}`,
    remediation: ({ keyId, rotatedTo }) =>
      `rotate the newer one: mosaic gateway key rotate ${rotatedTo}; where that one is lost, revoke both (mosaic gateway key revoke ${rotatedTo}, then ${keyId}) and ${newKey}`
  }
) {}

export class ApiKeyNotFound extends ErrorClass<ApiKeyNotFound>()(
  "ApiKeyNotFound",
  { keyId: Schema.String },
  {
    ...refused,
    code: "API_KEY_NOT_FOUND",
    title: "There is no API key of this id",
    explanation: "No row has this id. It may live in another database: see DATABASE_URL and MOSAIC_HOME.",
    httpStatus: 404,
    message: ({ keyId }) => `no API key ${keyId}`,
    remediation: () => `list the keys there are: mosaic gateway key list`
  }
) {}

export class OperatorTokenRefused extends ErrorClass<OperatorTokenRefused>()(
  "OperatorTokenRefused",
  { problem: Schema.String },
  {
    ...refused,
    code: "OPERATOR_TOKEN_REFUSED",
    title: "The operator's token is not accepted",
    explanation:
      "A JWT of the configured OIDC issuer must be signed by one of its keys with an allowed algorithm, and have the right iss, aud and an exp to come (RFC 7519 §4.1, RFC 8725).",
    httpStatus: 401,
    message: ({ problem }) => problem,
    remediation: () =>
      `sign in again for a fresh token; what the gateway expects of one is in MOSAIC_OIDC_ISSUER, MOSAIC_OIDC_AUDIENCE and MOSAIC_OIDC_ALGORITHMS`
  }
) {}

export class OperatorIssuerUnavailable extends ErrorClass<OperatorIssuerUnavailable>()(
  "OperatorIssuerUnavailable",
  { issuer: Schema.String, problem: Schema.String },
  {
    code: "OPERATOR_ISSUER_UNAVAILABLE",
    title: "The OIDC issuer's keys cannot be fetched",
    explanation:
      "A token could not be judged because the issuer's key set is not at hand: the issuer does not answer, or not as OpenID Connect Discovery 1.0 has it.",
    httpStatus: 503,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ issuer, problem }) => `${issuer}: ${problem}`,
    remediation: ({ issuer }) =>
      `try it from the gateway: curl ${issuer.replace(/\/$/, "")}/.well-known/openid-configuration; API keys work meanwhile`
  }
) {}

export class ScopeInsufficient extends ErrorClass<ScopeInsufficient>()(
  "ScopeInsufficient",
  { needed: Schema.String, held: Schema.String, action: Schema.String },
  {
    ...refused,
    code: "SCOPE_INSUFFICIENT",
    title: "The operator may not do this",
    explanation:
      "Keys and tokens have one of the scopes read, issue and admin, each with all that the one before it allows; docs/federation/authorization.md says which is needed for what.",
    httpStatus: 403,
    message: ({ action, held, needed }) => `${action} needs the scope ${needed}, this is ${held}`,
    remediation: ({ needed }) =>
      `use a key of the scope ${needed}: mosaic gateway key create --scope ${needed}`
  }
) {}

export class EndpointNotFound extends ErrorClass<EndpointNotFound>()(
  "EndpointNotFound",
  { method: Schema.String, path: Schema.String },
  {
    ...refused,
    code: "ENDPOINT_NOT_FOUND",
    title: "There is no such endpoint",
    explanation: "The gateway has no resource of this path and method (RFC 9110 §15.5.5).",
    httpStatus: 404,
    message: ({ method, path }) => `nothing answers ${method} ${path}`,
    remediation: () => `see which there are: /docs or /openapi.json of the gateway, or docs/api.md`
  }
) {}

export class BodyTooLarge extends ErrorClass<BodyTooLarge>()(
  "BodyTooLarge",
  { mostBytes: Schema.Int },
  {
    ...refused,
    code: "BODY_TOO_LARGE",
    title: "The body of the request is too large",
    explanation: "No request of this API needs more (RFC 9110 §15.5.14). Nothing was done.",
    httpStatus: 413,
    message: ({ mostBytes }) => `the body has more than ${mostBytes} bytes`,
    remediation: ({ mostBytes }) => `send at most ${mostBytes} bytes, and one CSR to a request`
  }
) {}

export class LengthRequired extends ErrorClass<LengthRequired>()(
  "LengthRequired",
  {},
  {
    ...refused,
    code: "LENGTH_REQUIRED",
    title: "The request does not say how long its body is",
    explanation:
      "A body comes with a Content-Length (RFC 9110 §15.5.12), so that one that is too large is refused before it is read.",
    httpStatus: 411,
    message: () => `the body comes in chunks, without a Content-Length`,
    remediation: () => `send the body with its Content-Length; curl does so with --data-binary @FILE`
  }
) {}

export class RequestTimedOut extends ErrorClass<RequestTimedOut>()(
  "RequestTimedOut",
  { afterSeconds: Schema.Int },
  {
    code: "REQUEST_TIMED_OUT",
    title: "The gateway did not finish the request in time",
    explanation:
      "The request was given up. A certificate that was being issued is settled in the ledger; the same request with the same CSR is safe to repeat.",
    httpStatus: 504,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ afterSeconds }) => `there was no answer within ${afterSeconds} s`,
    remediation: () => `try again with the same CSR; what the gateway waits for is in GET /readyz`
  }
) {}

export class ServerOverloaded extends ErrorClass<ServerOverloaded>()(
  "ServerOverloaded",
  { inFlight: Schema.Int, mostInFlight: Schema.Int, retryAfterSeconds: Schema.Int },
  {
    code: "SERVER_OVERLOADED",
    title: "The gateway has as many requests as it can serve",
    explanation:
      "Requests beyond MOSAIC_MAX_CONCURRENCY are turned away at once rather than kept waiting (RFC 9110 §15.6.4). Nothing was done.",
    httpStatus: 503,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ inFlight, mostInFlight }) =>
      `${inFlight} requests are in flight, ${mostInFlight} are allowed`,
    remediation: ({ retryAfterSeconds }) => `try again in ${retryAfterSeconds} s, or run more replicas`
  }
) {}

export class ServerDraining extends ErrorClass<ServerDraining>()(
  "ServerDraining",
  { retryAfterSeconds: Schema.Int },
  {
    code: "SERVER_DRAINING",
    title: "The gateway is shutting down",
    explanation:
      "It finishes the requests that it has and takes no more, and this one was not finished in the time that there was. A certificate that was being issued is settled in the ledger; the same request with the same CSR is safe to repeat.",
    httpStatus: 503,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: () => `this replica takes no new requests`,
    remediation: ({ retryAfterSeconds }) =>
      `try again in ${retryAfterSeconds} s: another replica answers, or this one is back`
  }
) {}

export class IdempotencyKeyReused extends ErrorClass<IdempotencyKeyReused>()(
  "IdempotencyKeyReused",
  { idempotencyKey: Schema.String },
  {
    ...refused,
    code: "IDEMPOTENCY_KEY_REUSED",
    title: "The Idempotency-Key was used for another request",
    explanation:
      "A key stands for one request: the same method, path, caller and body. With another body it is refused, so that nobody takes the answer of one request for that of another.",
    httpStatus: 422,
    message: ({ idempotencyKey }) => `Idempotency-Key ${idempotencyKey} came before with another request`,
    remediation: () => `use a new Idempotency-Key for each new request: uuidgen`
  }
) {}

export class ListenFailed extends ErrorClass<ListenFailed>()(
  "ListenFailed",
  { address: Schema.String, reason: Schema.String },
  {
    code: "LISTEN_FAILED",
    title: "The gateway cannot listen",
    explanation:
      "The address is in use, is none of this machine, or the port needs a right that the user has not.",
    httpStatus: 500,
    exitCode: ExitCode.configuration,
    retryable: false,
    message: ({ address, reason }) => `${address}: ${reason}`,
    remediation: ({ address }) =>
      `see who listens there (ss -ltnp), or choose another address than ${address} with --listen or MOSAIC_LISTEN`
  }
) {}

export class ValkeyUnavailable extends ErrorClass<ValkeyUnavailable>()(
  "ValkeyUnavailable",
  { host: Schema.String, port: Schema.Int, reason: Schema.String },
  {
    code: "VALKEY_UNAVAILABLE",
    title: "Valkey cannot be reached, or takes no writes",
    explanation:
      "The gateway goes on without it: tasks wait until they are looked for, each replica counts limits for itself, and every status is read from the database. Nothing is lost, and no answer is wrong.",
    httpStatus: 503,
    exitCode: ExitCode.storage,
    retryable: true,
    message: ({ host, port, reason }) => `${host}:${port}: ${reason}`,
    remediation: () =>
      `see which one is used and where that is set (mosaic config show), start it, or look at its log; a gateway finds it again by itself`
  }
) {}

export class ProxyBypassed extends ErrorClass<ProxyBypassed>()(
  "ProxyBypassed",
  { address: Schema.String },
  {
    code: "PROXY_BYPASSED",
    title: "The request came without TLS and not from the proxy",
    explanation:
      "A gateway that serves plain HTTP beyond loopback answers the proxies of MOSAIC_TRUSTED_PROXIES alone: whoever comes past them would send secrets without TLS. /healthz and /readyz answer anybody.",
    httpStatus: 403,
    exitCode: ExitCode.refused,
    retryable: false,
    message: ({ address }) => `the connection comes from ${address}`,
    remediation: () =>
      `ask the proxy, by https; where this is the proxy, name its address in MOSAIC_TRUSTED_PROXIES and restart the gateway`
  }
) {}

export class ServerCertificateRefused extends ErrorClass<ServerCertificateRefused>()(
  "ServerCertificateRefused",
  { problem: Schema.String, provisioner: Schema.String, names: Schema.String, requestId: Schema.String },
  {
    code: "SERVER_CERTIFICATE_REFUSED",
    title: "The CA gives the gateway no TLS certificate",
    explanation:
      "The gateway's own certificate comes from the provisioner mosaic-gateway of the same CA, which signs the names of MOSAIC_GATEWAY_NAMES and no others.",
    httpStatus: 500,
    exitCode: ExitCode.caRefused,
    retryable: false,
    message: ({ names, problem, provisioner, requestId }) =>
      `provisioner ${provisioner}, names ${names}: ${problem} (X-Request-Id ${requestId})`,
    remediation: () =>
      `set MOSAIC_GATEWAY_NAMES alike for the CA and the gateway, and restart both; see that MOSAIC_GATEWAY_PROVISIONER_KEY_JSON is the key of that provisioner (GET /provisioners of the CA)`
  }
) {}

export const ServerError = Schema.Union([
  AuthenticationRequired,
  ApiKeyUnknown,
  ApiKeyRevoked,
  ApiKeyExpired,
  ApiKeyRotated,
  ApiKeyNotFound,
  OperatorTokenRefused,
  OperatorIssuerUnavailable,
  ScopeInsufficient,
  EndpointNotFound,
  BodyTooLarge,
  LengthRequired,
  RequestTimedOut,
  ServerOverloaded,
  ServerDraining,
  IdempotencyKeyReused,
  ListenFailed,
  ValkeyUnavailable,
  ProxyBypassed,
  ServerCertificateRefused
])

export type ServerError = typeof ServerError.Type
