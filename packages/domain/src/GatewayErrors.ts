/** What goes wrong between a client and the gateway that it asks. What the gateway itself says is an error of its own class. */
import { Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

const unavailable = { exitCode: ExitCode.unavailable } as const
const url = { url: Schema.String } as const

/** Who asked: the remedies of a peer are others. */
const asker = { asker: Schema.Literals(["operator", "peer"]) } as const

export class GatewayUnreachable extends ErrorClass<GatewayUnreachable>()(
  "GatewayUnreachable",
  { ...url, reason: Schema.String, ...asker },
  {
    ...unavailable,
    code: "GATEWAY_UNREACHABLE",
    title: "The gateway cannot be reached",
    explanation:
      "Nothing answers at its URL: the connection is refused, there is no way or no address, or none came about in time; to a newcomer not even its roots are told. Nothing else was asked, and nothing secret was sent.",
    httpStatus: 503,
    retryable: true,
    message: ({ reason, url }) => `no answer from ${url} (${reason})`,
    remediation: ({ asker, url }) =>
      asker === "peer"
        ? `try again; if it stays so, see that this machine's network leads there (openssl s_client -connect HOST:PORT), then tell the grantor that the gateway at ${url} does not answer`
        : `see that the gateway runs (mosaic gateway serve) and that the URL is its own (--gateway, MOSAIC_GATEWAY_URL): curl --cacert ROOT_FILE ${url}/healthz`
  }
) {}

const untrusted = {
  issuer: {
    found: "its certificate does not chain to the root that is given",
    remedy: {
      operator:
        "give the root of this gateway in --gateway-root or MOSAIC_GATEWAY_ROOT; compare fingerprints: step certificate fingerprint ROOT_FILE",
      peer: "compare the root in the peer's directory with the grantor's: step certificate fingerprint DIR/root.crt; where the grantor has another one now, enroll again: mosaic federation enroll --url URL --token-file FILE --out DIR --force"
    }
  },
  name: {
    found: "its certificate does not name that host in subjectAltName",
    remedy: {
      operator:
        "use a name that is in the certificate, or add the name to the gateway's MOSAIC_GATEWAY_NAMES",
      peer: "ask the grantor to add that name to the gateway's MOSAIC_GATEWAY_NAMES, or for a token of the URL that it has now"
    }
  },
  time: {
    found: "its certificate is not valid now",
    remedy: {
      operator: "check this machine's clock (date -u), then the gateway's log: it renews its own certificate",
      peer: "check this machine's clock (date -u), then tell the grantor, whose gateway renews its own certificate"
    }
  },
  handshake: {
    found: "the TLS handshake failed",
    remedy: {
      operator:
        "check that the URL names the gateway's own TLS port and no plain HTTP: openssl s_client -connect HOST:PORT",
      peer: "see what answers there, and tell the grantor: openssl s_client -connect HOST:PORT"
    }
  }
} as const

export class GatewayUntrusted extends ErrorClass<GatewayUntrusted>()(
  "GatewayUntrusted",
  {
    ...url,
    check: Schema.Literals(["issuer", "name", "time", "handshake"]),
    reason: Schema.String,
    ...asker
  },
  {
    ...unavailable,
    code: "GATEWAY_UNTRUSTED",
    title: "The gateway does not prove who it is",
    explanation:
      "What answers at the URL shows no certificate for it that leads to the root given, whatever the system's store holds. Nothing was asked, and no key or token was sent.",
    httpStatus: 502,
    retryable: false,
    message: ({ check, reason, url }) => `${url}: ${untrusted[check].found} (${reason})`,
    remediation: ({ asker, check }) => untrusted[check].remedy[asker]
  }
) {}

export class GatewayAnswerLost extends ErrorClass<GatewayAnswerLost>()(
  "GatewayAnswerLost",
  { ...url, reason: Schema.String, ...asker },
  {
    ...unavailable,
    code: "GATEWAY_ANSWER_LOST",
    title: "The gateway was asked, and its answer did not arrive",
    explanation:
      "The connection ended or the time was up after the request had begun to leave: what was asked for may have been done, or may not.",
    httpStatus: 504,
    retryable: false,
    message: ({ reason, url }) => `${url}: ${reason}`,
    remediation: ({ asker }) =>
      asker === "peer"
        ? `run the same command again: the same key and request bring the same certificate; if it stays so, tell the grantor`
        : `look what is on record before you ask again: mosaic federation grant list, cert list or token list`
  }
) {}

export class GatewayAnswerUnreadable extends ErrorClass<GatewayAnswerUnreadable>()(
  "GatewayAnswerUnreadable",
  { ...url, problem: Schema.String },
  {
    ...unavailable,
    code: "GATEWAY_ANSWER_UNREADABLE",
    title: "The answer is none of a gateway that this version knows",
    explanation:
      "Something else answers at the URL, such as a proxy's error page, or a gateway of another version.",
    httpStatus: 502,
    retryable: false,
    message: ({ problem, url }) => `${url}: ${problem}`,
    remediation: ({ url }) =>
      `compare mosaic --version here and at the gateway, and see who answers: curl --cacert ROOT_FILE ${url}/healthz`
  }
) {}

export class GatewayErrorUnknown extends ErrorClass<GatewayErrorUnknown>()(
  "GatewayErrorUnknown",
  {
    ...url,
    status: Schema.Int,
    unknownCode: Schema.String,
    detail: Schema.String,
    advice: Schema.String,
    requestId: Schema.String
  },
  {
    code: "GATEWAY_ERROR_UNKNOWN",
    title: "The gateway refuses with an error that this version does not know",
    explanation: "The gateway is newer than this program. What it says is repeated as it is.",
    httpStatus: 502,
    exitCode: ExitCode.refused,
    retryable: false,
    message: ({ detail, requestId, status, unknownCode, url }) =>
      `${url} answered ${status} ${unknownCode}: ${detail} (X-Request-Id ${requestId})`,
    remediation: ({ advice }) => `${advice}; bring this program to the gateway's version: mosaic --version`
  }
) {}

export const GatewayError = Schema.Union([
  GatewayUnreachable,
  GatewayUntrusted,
  GatewayAnswerLost,
  GatewayAnswerUnreadable,
  GatewayErrorUnknown
])

export type GatewayError = typeof GatewayError.Type
