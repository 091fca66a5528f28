/** Ways in which the pinned connection to the CA fails, told apart by evidence and never by an error's text. */
import { Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

const unavailable = { exitCode: ExitCode.unavailable } as const
const origin = { origin: Schema.String } as const

export class CaConnectionRefused extends ErrorClass<CaConnectionRefused>()("CaConnectionRefused", origin, {
  ...unavailable,
  code: "CA_CONNECTION_REFUSED",
  title: "The CA refuses the connection",
  explanation: "Nothing listens at the address in STEP_CA_URL.",
  httpStatus: 503,
  retryable: true,
  message: ({ origin }) => `${origin} refused the connection (ECONNREFUSED)`,
  remediation: () => `start the CA, or set STEP_CA_URL to where it listens`
}) {}

export class CaUnreachable extends ErrorClass<CaUnreachable>()(
  "CaUnreachable",
  { ...origin, reason: Schema.String },
  {
    ...unavailable,
    code: "CA_UNREACHABLE",
    title: "The CA cannot be reached",
    explanation: "The operating system knows no way to the address in STEP_CA_URL, or forbids it.",
    httpStatus: 503,
    retryable: true,
    message: ({ origin, reason }) => `${origin} cannot be reached (${reason})`,
    remediation: () => `check the route and the firewall between this machine and STEP_CA_URL`
  }
) {}

export class CaNameNotResolved extends ErrorClass<CaNameNotResolved>()(
  "CaNameNotResolved",
  { ...origin, reason: Schema.String },
  {
    ...unavailable,
    code: "CA_NAME_NOT_RESOLVED",
    title: "The CA's host name cannot be resolved",
    explanation: "DNS has no address for the host in STEP_CA_URL, or does not answer.",
    httpStatus: 503,
    retryable: true,
    message: ({ origin, reason }) => `the host name of ${origin} has no address (${reason})`,
    remediation: () => `set STEP_CA_URL to a name that resolves here: getent hosts NAME`
  }
) {}

export class CaIssuerUnknown extends ErrorClass<CaIssuerUnknown>()(
  "CaIssuerUnknown",
  { ...origin, reason: Schema.String },
  {
    ...unavailable,
    code: "CA_ISSUER_UNKNOWN",
    title: "The CA's TLS certificate does not lead to a pinned root",
    explanation:
      "Only the roots in STEP_CA_ROOT_CERT_PATH are trusted; the system's store and NODE_EXTRA_CA_CERTS are not.",
    httpStatus: 502,
    retryable: false,
    message: ({ origin, reason }) =>
      `the certificate of ${origin} does not chain to a root in STEP_CA_ROOT_CERT_PATH (${reason})`,
    remediation: () =>
      `make STEP_CA_ROOT_CERT_PATH name the root of this CA; compare fingerprints: step certificate fingerprint ROOT_FILE, and on the CA: step certificate fingerprint certs/root_ca.crt; after a root rotation put both roots into the file`
  }
) {}

export class CaCertificateExpired extends ErrorClass<CaCertificateExpired>()(
  "CaCertificateExpired",
  { ...origin, reason: Schema.String },
  {
    ...unavailable,
    code: "CA_CERTIFICATE_EXPIRED",
    title: "The CA's TLS certificate is not valid at this time",
    explanation:
      "The server certificate or one above it is past notAfter or before notBefore, by this machine's clock.",
    httpStatus: 502,
    retryable: false,
    message: ({ origin, reason }) => `the certificate of ${origin} is not valid now (${reason})`,
    remediation: () =>
      `check this machine's clock (date -u), then restart step-ca, which renews its own certificate`
  }
) {}

export class CaHostNameMismatch extends ErrorClass<CaHostNameMismatch>()("CaHostNameMismatch", origin, {
  ...unavailable,
  code: "CA_HOST_NAME_MISMATCH",
  title: "The CA's TLS certificate is for another name",
  explanation: "The host in STEP_CA_URL is not among the certificate's subjectAltName entries (RFC 9525).",
  httpStatus: 502,
  retryable: false,
  message: ({ origin }) => `the certificate of ${origin} does not name that host in subjectAltName`,
  remediation: () =>
    `set STEP_CA_URL to a name in the certificate, or add the name to the CA's dnsNames (STEP_CA_DNS) and restart it`
}) {}

export class CaTlsFailed extends ErrorClass<CaTlsFailed>()(
  "CaTlsFailed",
  { ...origin, reason: Schema.String },
  {
    ...unavailable,
    code: "CA_TLS_FAILED",
    title: "No TLS session with the CA came about",
    explanation: "The server does not speak TLS 1.2 or later, or does not speak TLS at all.",
    httpStatus: 502,
    retryable: false,
    message: ({ origin, reason }) => `the TLS handshake with ${origin} failed (${reason})`,
    remediation: () =>
      `check that STEP_CA_URL names step-ca's own TLS port and no plain HTTP or older server: openssl s_client -connect HOST:PORT`
  }
) {}

export class CaConnectionReset extends ErrorClass<CaConnectionReset>()("CaConnectionReset", origin, {
  ...unavailable,
  code: "CA_CONNECTION_RESET",
  title: "The CA closed the connection before it answered",
  explanation:
    "The connection ended after the request was sent: the CA stopped or restarted, or something between cut it.",
  httpStatus: 502,
  retryable: true,
  message: ({ origin }) => `${origin} closed the connection before an answer`,
  remediation: () => `look whether the CA restarted (its log says), and try again`
}) {}

export class CaTimeout extends ErrorClass<CaTimeout>()(
  "CaTimeout",
  { ...origin, phase: Schema.Literals(["connect", "answer"]), afterMillis: Schema.Int },
  {
    ...unavailable,
    code: "CA_TIMEOUT",
    title: "The CA did not answer in time",
    explanation: "The connection was not made, or the answer not complete, within the time-out.",
    httpStatus: 504,
    retryable: true,
    message: ({ afterMillis, origin, phase }) =>
      phase === "connect"
        ? `no connection to ${origin} within ${afterMillis} ms`
        : `no complete answer from ${origin} within ${afterMillis} ms`,
    remediation: () => `check the CA's load and the network to STEP_CA_URL, and try again`
  }
) {}

export class CaResponseTooLarge extends ErrorClass<CaResponseTooLarge>()(
  "CaResponseTooLarge",
  { ...origin, mostBytes: Schema.Int },
  {
    ...unavailable,
    code: "CA_RESPONSE_TOO_LARGE",
    title: "The answer is larger than any answer of step-ca",
    explanation: "The body passed the bound; it was not read further.",
    httpStatus: 502,
    retryable: false,
    message: ({ mostBytes, origin }) => `the answer of ${origin} is larger than ${mostBytes} bytes`,
    remediation: () => `check that STEP_CA_URL names step-ca itself: curl --cacert ROOT_FILE URL/health`
  }
) {}

export class CaResponseTruncated extends ErrorClass<CaResponseTruncated>()("CaResponseTruncated", origin, {
  ...unavailable,
  code: "CA_RESPONSE_TRUNCATED",
  title: "The answer ended in its middle",
  explanation: "The connection closed after the status line and before the whole body.",
  httpStatus: 502,
  retryable: true,
  message: ({ origin }) => `the answer of ${origin} ended before its body was complete`,
  remediation: () => `look whether the CA or a proxy before it restarted, and try again`
}) {}

export class CaResponseNotJson extends ErrorClass<CaResponseNotJson>()(
  "CaResponseNotJson",
  { ...origin, status: Schema.Int },
  {
    ...unavailable,
    code: "CA_RESPONSE_NOT_JSON",
    title: "The answer is not JSON",
    explanation: "Something that is not step-ca answers at STEP_CA_URL, such as a proxy's error page.",
    httpStatus: 502,
    retryable: false,
    message: ({ origin, status }) => `${origin} answered ${status} with a body that is not JSON (RFC 8259)`,
    remediation: () => `check that STEP_CA_URL names step-ca itself: curl --cacert ROOT_FILE URL/health`
  }
) {}

export class CaResponseEmpty extends ErrorClass<CaResponseEmpty>()(
  "CaResponseEmpty",
  { ...origin, status: Schema.Int },
  {
    ...unavailable,
    code: "CA_RESPONSE_EMPTY",
    title: "The answer has no body",
    explanation: "step-ca always answers with a JSON body.",
    httpStatus: 502,
    retryable: false,
    message: ({ origin, status }) => `${origin} answered ${status} without a body`,
    remediation: () => `check that STEP_CA_URL names step-ca itself: curl --cacert ROOT_FILE URL/health`
  }
) {}

export class CaResponseShape extends ErrorClass<CaResponseShape>()(
  "CaResponseShape",
  { ...origin, problem: Schema.String },
  {
    ...unavailable,
    code: "CA_RESPONSE_SHAPE",
    title: "The answer lacks what step-ca's answers have",
    explanation:
      "The JSON parses but has not the members of a step-ca answer: another version, or another service.",
    httpStatus: 502,
    retryable: false,
    message: ({ origin, problem }) => `${origin}: ${problem}`,
    remediation: () =>
      `check the CA's version (step-ca version; 0.30.2 is tested) and that STEP_CA_URL names it`
  }
) {}

export class CaRedirected extends ErrorClass<CaRedirected>()(
  "CaRedirected",
  { ...origin, status: Schema.Int },
  {
    ...unavailable,
    code: "CA_REDIRECTED",
    title: "The answer is a redirect, which is never followed",
    explanation:
      "step-ca does not redirect. A token must not travel to another place than the one that was checked.",
    httpStatus: 502,
    retryable: false,
    message: ({ origin, status }) => `${origin} answered ${status}, a redirect`,
    remediation: () => `set STEP_CA_URL to the CA's own address`
  }
) {}

export const TransportError = Schema.Union([
  CaConnectionRefused,
  CaUnreachable,
  CaNameNotResolved,
  CaIssuerUnknown,
  CaCertificateExpired,
  CaHostNameMismatch,
  CaTlsFailed,
  CaConnectionReset,
  CaTimeout,
  CaResponseTooLarge,
  CaResponseTruncated,
  CaResponseNotJson,
  CaResponseEmpty,
  CaResponseShape,
  CaRedirected
])

export type TransportError = typeof TransportError.Type
