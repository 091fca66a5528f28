/**
 * What the CA answers when it does not sign. step-ca says one generic sentence for every 401: where the cause can be
 * proved by looking, the proved cause is the error; where it cannot, `CaTokenRefused` says that it is unproved.
 */
import { Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

const refused = { httpStatus: 502, exitCode: ExitCode.caRefused, retryable: false } as const

/** step-ca's `X-Request-Id`: the only thread that leads to the line in its log. */
const thread = { requestId: Schema.String } as const

const inLog = (requestId: string) => `find this request in the CA's log: ${requestId}`

export class CaBadRequest extends ErrorClass<CaBadRequest>()(
  "CaBadRequest",
  { ...thread, detail: Schema.String },
  {
    ...refused,
    code: "CA_BAD_REQUEST",
    title: "The CA calls the request bad",
    explanation: "step-ca answered 400 for another reason than our template.",
    message: ({ detail, requestId }) => `400: ${detail} (X-Request-Id ${requestId})`,
    remediation: ({ requestId }) => inLog(requestId)
  }
) {}

export class CaTemplateRefused extends ErrorClass<CaTemplateRefused>()(
  "CaTemplateRefused",
  { ...thread, detail: Schema.String },
  {
    ...refused,
    code: "CA_TEMPLATE_REFUSED",
    title: "The CA's certificate template refuses the token's claims",
    explanation:
      "A claim is absent or of the wrong form, so the template failed loudly instead of writing a wrong extension.",
    message: ({ detail, requestId }) => `400: ${detail} (X-Request-Id ${requestId})`,
    remediation: () =>
      `check that the CA runs the template of this version: run init.sh again, it repairs the template and prints its SHA-256`
  }
) {}

export class CaTokenRefused extends ErrorClass<CaTokenRefused>()(
  "CaTokenRefused",
  { ...thread, examined: Schema.String },
  {
    ...refused,
    code: "CA_TOKEN_REFUSED",
    title: "The CA refuses the one-time token, for a cause that could not be proved",
    explanation:
      "step-ca answered 401. Key id, audience, clocks and reuse were examined and are in order, or could not be examined.",
    message: ({ examined, requestId }) => `401, cause unproved: ${examined} (X-Request-Id ${requestId})`,
    remediation: ({ requestId }) => inLog(requestId)
  }
) {}

export class CaProvisionerUnknown extends ErrorClass<CaProvisionerUnknown>()(
  "CaProvisionerUnknown",
  { ...thread, provisioner: Schema.String, known: Schema.String },
  {
    ...refused,
    code: "CA_PROVISIONER_UNKNOWN",
    title: "The CA has no provisioner of this name",
    explanation:
      "The name in STEP_CA_PROVISIONER (the token's iss claim) is not among the CA's JWK provisioners.",
    message: ({ known, provisioner }) => `401: "iss" is ${provisioner}; the CA lists ${known}`,
    remediation: () =>
      `set STEP_CA_PROVISIONER to a name of step ca provisioner list, or add it: step ca provisioner add NAME --type JWK --create`
  }
) {}

export class CaKeyUnknown extends ErrorClass<CaKeyUnknown>()(
  "CaKeyUnknown",
  { ...thread, kid: Schema.String, provisioner: Schema.String, known: Schema.String },
  {
    ...refused,
    code: "CA_KEY_UNKNOWN",
    title: "The CA does not know this provisioner key",
    explanation: "The kid of our key is not that of the provisioner at GET /provisioners.",
    message: ({ kid, known, provisioner }) =>
      `401: "kid" is ${kid}; provisioner ${provisioner} of the CA has ${known}`,
    remediation: () =>
      `set STEP_CA_PROVISIONER_KEY_JSON to the key of this CA: init.sh writes it to gateway/provisioner_key.jwe in the CA's STEPPATH`
  }
) {}

export class CaKeyMismatch extends ErrorClass<CaKeyMismatch>()(
  "CaKeyMismatch",
  { ...thread, kid: Schema.String, provisioner: Schema.String },
  {
    ...refused,
    code: "CA_KEY_MISMATCH",
    title: "The CA has another public key under this kid",
    explanation:
      "The kid is known, but the public key at GET /provisioners does not verify the token that we signed.",
    message: ({ kid, provisioner }) => `401: provisioner ${provisioner} has another key under "kid" ${kid}`,
    remediation: () =>
      `set STEP_CA_PROVISIONER_KEY_JSON to the key of this CA: init.sh writes it to gateway/provisioner_key.jwe in the CA's STEPPATH`
  }
) {}

export class CaAudienceMismatch extends ErrorClass<CaAudienceMismatch>()(
  "CaAudienceMismatch",
  { ...thread, audience: Schema.String, served: Schema.String },
  {
    ...refused,
    code: "CA_AUDIENCE_MISMATCH",
    title: "The CA does not call itself by the name in STEP_CA_URL",
    explanation:
      "The token's aud claim is the sign URL made of STEP_CA_URL; step-ca accepts only host names in its dnsNames.",
    message: ({ audience, served }) => `401: "aud" is ${audience}; the CA's own certificate names ${served}`,
    remediation: () =>
      `set STEP_CA_URL to a name in the CA's dnsNames, or add the name there (STEP_CA_DNS) and restart the CA`
  }
) {}

export class CaClockSkew extends ErrorClass<CaClockSkew>()(
  "CaClockSkew",
  { ...thread, skewSeconds: Schema.Int, leewaySeconds: Schema.Int },
  {
    ...refused,
    code: "CA_CLOCK_SKEW",
    title: "This clock and the CA's clock are too far apart",
    explanation:
      "step-ca allows one minute between the token's times and its own clock. The CA's Date header has steps of one second.",
    message: ({ leewaySeconds, skewSeconds }) =>
      `401: this clock is ${Math.abs(skewSeconds)} s ${skewSeconds > 0 ? "ahead of" : "behind"} the CA's Date, the leeway is ${leewaySeconds} s`,
    remediation: () => `set both clocks by NTP: timedatectl set-ntp true`
  }
) {}

export class CaTokenReused extends ErrorClass<CaTokenReused>()("CaTokenReused", thread, {
  ...refused,
  code: "CA_TOKEN_REUSED",
  title: "The one-time token was used before",
  explanation:
    "step-ca spends a token when it first sees its jti, even if that try failed. Every try needs a token of its own.",
  message: ({ requestId }) =>
    `401: the token's "jti" was presented to the CA before (X-Request-Id ${requestId})`,
  remediation: () =>
    `ask again: every issuance makes a fresh token; if it recurs, tokens leak between here and the CA`
}) {}

export class CaTokenBeforeStart extends ErrorClass<CaTokenBeforeStart>()(
  "CaTokenBeforeStart",
  { ...thread, behindSeconds: Schema.Int },
  {
    ...refused,
    code: "CA_TOKEN_BEFORE_START",
    title: "The CA started after the token was made",
    explanation:
      "step-ca refuses tokens whose iat lies before its own start. One retry with a fresh token was made; this clock lags.",
    retryable: true,
    message: ({ behindSeconds }) =>
      `401: "iat" lies before the CA's start; this clock is ${behindSeconds} s behind the CA's Date`,
    remediation: () =>
      `wait as many seconds and ask again, and set this clock by NTP: timedatectl set-ntp true`
  }
) {}

export class CaForbidden extends ErrorClass<CaForbidden>()(
  "CaForbidden",
  { ...thread, detail: Schema.String },
  {
    ...refused,
    code: "CA_FORBIDDEN",
    title: "The CA's policy refuses the request",
    explanation:
      "step-ca answered 403: names, validity or the CSR's binding to the token contradict its policy.",
    message: ({ detail, requestId }) => `403: ${detail} (X-Request-Id ${requestId})`,
    remediation: () =>
      `compare MOSAIC_CERT_MIN and MOSAIC_CERT_MAX with the provisioner's claims at GET /provisioners`
  }
) {}

export class CaNotFound extends ErrorClass<CaNotFound>()(
  "CaNotFound",
  { ...thread, url: Schema.String },
  {
    ...refused,
    code: "CA_NOT_FOUND",
    title: "There is no signing endpoint at this URL",
    explanation: "The server answered 404: STEP_CA_URL has a wrong path, or names another service.",
    message: ({ url }) => `404 at ${url}`,
    remediation: () => `set STEP_CA_URL to scheme, host and port of step-ca, without a path`
  }
) {}

export class CaRateLimited extends ErrorClass<CaRateLimited>()(
  "CaRateLimited",
  { ...thread, retryAfterSeconds: Schema.NullOr(Schema.Int) },
  {
    ...refused,
    code: "CA_RATE_LIMITED",
    title: "The CA, or something before it, limits the rate",
    explanation: "The answer was 429 (RFC 6585 §4), and so were those of the retries.",
    httpStatus: 503,
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ retryAfterSeconds }) =>
      `429${retryAfterSeconds === null ? "" : `, Retry-After ${retryAfterSeconds} s`}`,
    remediation: ({ retryAfterSeconds }) =>
      `ask again ${retryAfterSeconds === null ? "later" : `in ${retryAfterSeconds} s`}, or raise the limit at the CA's proxy`
  }
) {}

export class CaInternalError extends ErrorClass<CaInternalError>()(
  "CaInternalError",
  { ...thread, status: Schema.Int },
  {
    ...refused,
    code: "CA_INTERNAL_ERROR",
    title: "The CA failed",
    explanation:
      "The answer was a 5xx: the CA's database, its signer or a proxy before it failed. Whatever it may have signed was revoked there.",
    exitCode: ExitCode.unavailable,
    retryable: true,
    message: ({ requestId, status }) => `${status} (X-Request-Id ${requestId})`,
    remediation: ({ requestId }) => inLog(requestId)
  }
) {}

export class CaUnexpectedStatus extends ErrorClass<CaUnexpectedStatus>()(
  "CaUnexpectedStatus",
  { ...thread, status: Schema.Int },
  {
    ...refused,
    code: "CA_UNEXPECTED_STATUS",
    title: "The CA answered with a status that signing does not have",
    explanation: "step-ca answers 201, 400, 401, 403, 404 or 5xx. Another status comes from something else.",
    exitCode: ExitCode.unavailable,
    message: ({ requestId, status }) => `${status} (X-Request-Id ${requestId})`,
    remediation: () => `check that STEP_CA_URL names step-ca itself: curl --cacert ROOT_FILE URL/health`
  }
) {}

export class CaChainMissing extends ErrorClass<CaChainMissing>()("CaChainMissing", thread, {
  ...refused,
  code: "CA_CHAIN_MISSING",
  title: "The CA signed but sent no issuing certificate",
  explanation:
    "The answer has neither certChain nor ca, so the leaf cannot be proved up to the pinned root. It is withheld and its serial revoked.",
  exitCode: ExitCode.withheld,
  message: ({ requestId }) => `201 without "certChain" and without "ca" (X-Request-Id ${requestId})`,
  remediation: () =>
    `check the CA's version (step-ca version; 0.30.2 is tested) and what stands between it and this program`
}) {}

export const CaError = Schema.Union([
  CaBadRequest,
  CaTemplateRefused,
  CaTokenRefused,
  CaProvisionerUnknown,
  CaKeyUnknown,
  CaKeyMismatch,
  CaAudienceMismatch,
  CaClockSkew,
  CaTokenReused,
  CaTokenBeforeStart,
  CaForbidden,
  CaNotFound,
  CaRateLimited,
  CaInternalError,
  CaUnexpectedStatus,
  CaChainMissing
])

export type CaError = typeof CaError.Type
