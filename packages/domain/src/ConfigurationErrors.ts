/** What can be wrong with the settings, all of it found at start-up, before anything is served or sent. */
import { DateTime, Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"

const configuration = { httpStatus: 500, exitCode: ExitCode.configuration, retryable: false } as const

export class ConfigMissing extends ErrorClass<ConfigMissing>()(
  "ConfigMissing",
  { variable: Schema.String, expects: Schema.String },
  {
    ...configuration,
    code: "CONFIG_MISSING",
    title: "A required setting is missing",
    explanation:
      "A required environment variable is not set. Set it, or the same name with _FILE appended to read it from a file.",
    message: ({ variable }) => `neither ${variable} nor ${variable}_FILE is set`,
    remediation: ({ expects, variable }) =>
      `set ${variable} to ${expects}, or ${variable}_FILE to the path of a file that holds it`
  }
) {}

export class ConfigConflict extends ErrorClass<ConfigConflict>()(
  "ConfigConflict",
  { variable: Schema.String },
  {
    ...configuration,
    code: "CONFIG_CONFLICT",
    title: "A setting is given twice",
    explanation:
      "A variable and its _FILE form are both set, so it is not certain which one is meant. Unset one of them.",
    message: ({ variable }) => `${variable} and ${variable}_FILE are both set`,
    remediation: ({ variable }) => `unset one of the two: unset ${variable}, or unset ${variable}_FILE`
  }
) {}

export class ConfigFileUnreadable extends ErrorClass<ConfigFileUnreadable>()(
  "ConfigFileUnreadable",
  { variable: Schema.String, path: Schema.String, reason: Schema.String },
  {
    ...configuration,
    code: "CONFIG_FILE_UNREADABLE",
    title: "A file that a setting names cannot be read",
    explanation: "The file does not exist, is a directory, is too large or may not be read by this user.",
    message: ({ path, reason, variable }) => `${variable} names ${path}, which cannot be read: ${reason}`,
    remediation: ({ path, variable }) =>
      `make ${path} readable for this user (ls -l ${path}), or set ${variable} to the right path`
  }
) {}

export class ConfigInvalid extends ErrorClass<ConfigInvalid>()(
  "ConfigInvalid",
  { variable: Schema.String, problem: Schema.String, expects: Schema.String },
  {
    ...configuration,
    code: "CONFIG_INVALID",
    title: "A setting has a value that cannot be used",
    explanation: "The variable is set, but its value is not of the form that it takes.",
    message: ({ problem, variable }) => `${variable}: ${problem}`,
    remediation: ({ expects, variable }) => `set ${variable} to ${expects}`
  }
) {}

/** Where in the configuration file: the path as it was found, lines and columns from 1. */
const place = { path: Schema.String, line: Schema.Int, column: Schema.Int } as const

const at = ({ column, line, path }: Schema.Struct.Type<typeof place>) => `${path}:${line}:${column}`

export class ConfigFileMalformed extends ErrorClass<ConfigFileMalformed>()(
  "ConfigFileMalformed",
  { ...place, problem: Schema.String, remedy: Schema.String },
  {
    ...configuration,
    code: "CONFIG_FILE_MALFORMED",
    title: "The configuration file is not one JSON object",
    explanation:
      "The configuration file is JSON as RFC 8259 has it, in UTF-8: no comments, no trailing commas, and each key once.",
    message: (fields) => `${at(fields)}: ${fields.problem}`,
    remediation: ({ line, path, remedy }) => `in line ${line} of ${path}, ${remedy}`
  }
) {}

export class ConfigKeyUnknown extends ErrorClass<ConfigKeyUnknown>()(
  "ConfigKeyUnknown",
  {
    ...place,
    key: Schema.String,
    suggestion: Schema.NullOr(Schema.String),
    known: Schema.Array(Schema.String)
  },
  {
    ...configuration,
    code: "CONFIG_KEY_UNKNOWN",
    title: "The configuration file has a key that means nothing",
    explanation:
      "Only the keys of docs/configuration.md are read. An unknown one is refused, because a mistyped key would otherwise be a setting that silently does not hold.",
    message: (fields) =>
      `${at(fields)}: there is no key ${JSON.stringify(fields.key)}${fields.suggestion === null ? "" : `; did you mean ${JSON.stringify(fields.suggestion)}?`}`,
    remediation: ({ key, known, line, path, suggestion }) =>
      `in line ${line} of ${path}, ${suggestion === null ? `remove ${JSON.stringify(key)}` : `write ${JSON.stringify(suggestion)}`}; the keys are ${known.join(", ")}`
  }
) {}

export class ConfigValueInvalid extends ErrorClass<ConfigValueInvalid>()(
  "ConfigValueInvalid",
  { ...place, key: Schema.String, problem: Schema.String, expects: Schema.String },
  {
    ...configuration,
    code: "CONFIG_VALUE_INVALID",
    title: "The configuration file has a value that cannot be used",
    explanation: "The key is known, but its value is not of the form that it takes.",
    message: (fields) => `${at(fields)}: ${JSON.stringify(fields.key)}: ${fields.problem}`,
    remediation: ({ expects, key, line, path }) =>
      `in line ${line} of ${path}, set ${JSON.stringify(key)} to ${expects}`
  }
) {}

export class TierIncomplete extends ErrorClass<TierIncomplete>()(
  "TierIncomplete",
  { ...place, tier: Schema.String, key: Schema.String, variable: Schema.String, expects: Schema.String },
  {
    ...configuration,
    code: "TIER_INCOMPLETE",
    title: "The tier lacks one of its services",
    explanation:
      "The federated tier shares PostgreSQL and Valkey with other replicas, so both must be named: in the configuration file or by DATABASE_URL and REDIS_URL.",
    message: (fields) =>
      `${at(fields)}: "tier" is ${JSON.stringify(fields.tier)}, but neither ${JSON.stringify(fields.key)} nor ${fields.variable} is set`,
    remediation: ({ expects, key, path, variable }) =>
      `add ${JSON.stringify(key)} to ${path} or set ${variable}: ${expects}`
  }
) {}

const keyVariable = "STEP_CA_PROVISIONER_KEY_JSON"

export class ProvisionerKeyNotJwk extends ErrorClass<ProvisionerKeyNotJwk>()(
  "ProvisionerKeyNotJwk",
  { problem: Schema.String },
  {
    ...configuration,
    code: "PROVISIONER_KEY_NOT_JWK",
    title: "The provisioner key is not a JWK",
    explanation: "STEP_CA_PROVISIONER_KEY_JSON holds neither a JWK (RFC 7517) nor a JWE (RFC 7516) of one.",
    message: ({ problem }) => `${keyVariable}: ${problem}`,
    remediation: () =>
      `set ${keyVariable} to a private JWK, or to the JWE that step ca init writes as encryptedKey`
  }
) {}

export class ProvisionerKeyPublicOnly extends ErrorClass<ProvisionerKeyPublicOnly>()(
  "ProvisionerKeyPublicOnly",
  { kid: Schema.String },
  {
    ...configuration,
    code: "PROVISIONER_KEY_PUBLIC_ONLY",
    title: "The provisioner key lacks its private half",
    explanation:
      'The JWK has no "d" parameter. What the CA shows at /provisioners as key is the public half only.',
    message: ({ kid }) => `${keyVariable}: the JWK with kid ${kid} has no "d" (Private Key) parameter`,
    remediation: () =>
      `set ${keyVariable} to the private JWK or its JWE; init.sh writes it to gateway/provisioner_key.jwe in the CA's STEPPATH`
  }
) {}

export class ProvisionerKeyWrongPassword extends ErrorClass<ProvisionerKeyWrongPassword>()(
  "ProvisionerKeyWrongPassword",
  {},
  {
    ...configuration,
    code: "PROVISIONER_KEY_WRONG_PASSWORD",
    title: "The provisioner password does not open the provisioner key",
    explanation:
      "The JWE could not be decrypted with STEP_CA_PROVISIONER_PASSWORD. One newline at a file's end is not part of the password.",
    message: () => `STEP_CA_PROVISIONER_PASSWORD does not decrypt the JWE in ${keyVariable}`,
    remediation: () =>
      `set STEP_CA_PROVISIONER_PASSWORD (or _FILE) to the password that this key was made with; to try it: step crypto jwe decrypt --password-file FILE`
  }
) {}

export class ProvisionerKeyIterationsRefused extends ErrorClass<ProvisionerKeyIterationsRefused>()(
  "ProvisionerKeyIterationsRefused",
  { found: Schema.Int, most: Schema.Int },
  {
    ...configuration,
    code: "PROVISIONER_KEY_ITERATIONS_REFUSED",
    title: "The provisioner key asks for too many PBES2 iterations",
    explanation:
      'The JWE header parameter "p2c" (RFC 7518 §4.8.1.2) is above 1,000,000, which would stall the start.',
    message: ({ found, most }) =>
      `${keyVariable}: "p2c" (PBES2 Count) is ${found}, at most ${most} is accepted`,
    remediation: () =>
      `encrypt the key again with fewer iterations: step crypto jwe decrypt, then step crypto jwe encrypt --alg PBES2-HS256+A128KW`
  }
) {}

export class ProvisionerKeyUnsupported extends ErrorClass<ProvisionerKeyUnsupported>()(
  "ProvisionerKeyUnsupported",
  { found: Schema.String },
  {
    ...configuration,
    code: "PROVISIONER_KEY_UNSUPPORTED",
    title: "The provisioner key is of a kind that is not accepted",
    explanation:
      "Accepted are EC P-256 (ES256), EC P-384 (ES384), OKP Ed25519 (EdDSA), RSA of 2048 to 8192 bits (RS256) and, opted in, oct (HS256).",
    message: ({ found }) => `${keyVariable}: ${found} is not accepted`,
    remediation: () =>
      `make a provisioner with an EC P-256 key: step ca provisioner add mosaic-fed --type JWK --create`
  }
) {}

export class ProvisionerKeyKidMismatch extends ErrorClass<ProvisionerKeyKidMismatch>()(
  "ProvisionerKeyKidMismatch",
  { found: Schema.String, expected: Schema.String, source: Schema.String },
  {
    ...configuration,
    code: "PROVISIONER_KEY_KID_MISMATCH",
    title: "The provisioner key's kid belongs to another key",
    explanation:
      'The "kid" of the JWK is not the one that it must have: its RFC 7638 thumbprint (which step uses) or, where set, STEP_CA_PROVISIONER_KID.',
    message: ({ expected, found, source }) =>
      `${keyVariable}: "kid" is ${found}, but ${source} is ${expected}`,
    remediation: ({ found }) =>
      `put the JWK there that the CA lists under this kid (curl --cacert ROOT https://CA/provisioners), or, for a kid of your own choice, set STEP_CA_PROVISIONER_KID=${found}`
  }
) {}

export class ProvisionerKeySymmetricRefused extends ErrorClass<ProvisionerKeySymmetricRefused>()(
  "ProvisionerKeySymmetricRefused",
  {},
  {
    ...configuration,
    code: "PROVISIONER_KEY_SYMMETRIC_REFUSED",
    title: "The provisioner key is symmetric, and the CA publishes it",
    explanation:
      "step-ca prints every provisioner's JWK at GET /provisioners without authentication. Of an oct key (HS256) that is the secret itself: whoever reaches the CA can mint tokens for any grant.",
    message: () => `${keyVariable} has kty "oct" (HS256): step-ca publishes this secret at GET /provisioners`,
    remediation: () =>
      `use an asymmetric provisioner (step ca provisioner add mosaic-fed --type JWK --create); to accept the risk set STEP_CA_ALLOW_SYMMETRIC_KEY=true`
  }
) {}

/** The setting or option that names the file, and the file. */
const rootFile = { variable: Schema.String, path: Schema.String } as const

export class RootCertificateRefused extends ErrorClass<RootCertificateRefused>()(
  "RootCertificateRefused",
  { ...rootFile, problem: Schema.String },
  {
    ...configuration,
    code: "ROOT_CERTIFICATE_REFUSED",
    title: "The root file holds something else than self-signed CA certificates",
    explanation:
      "STEP_CA_ROOT_CERT_PATH, MOSAIC_GATEWAY_ROOT, --root and --gateway-root name a PEM file of one or more self-signed CA certificates and nothing else: these alone are trusted.",
    message: ({ path, problem, variable }) => `${variable}: ${path}: ${problem}`,
    remediation: () =>
      `fetch the CA's root and compare its fingerprint: step ca root root_ca.crt --ca-url URL --fingerprint SHA256`
  }
) {}

export class RootCertificateExpired extends ErrorClass<RootCertificateExpired>()(
  "RootCertificateExpired",
  { ...rootFile, subject: Schema.String, notAfter: Schema.DateTimeUtcFromString },
  {
    ...configuration,
    code: "ROOT_CERTIFICATE_EXPIRED",
    title: "A pinned root has expired",
    explanation:
      "A certificate in the file of pinned roots is past its notAfter. Remove it, or rotate the CA's root.",
    message: ({ notAfter, path, subject, variable }) =>
      `${variable}: ${path}: ${subject} expired at ${DateTime.formatIso(notAfter)} (notAfter)`,
    remediation: ({ path }) =>
      `put the CA's present root into ${path}, or check this machine's clock: date -u`
  }
) {}

export class TokenSigningFailed extends ErrorClass<TokenSigningFailed>()(
  "TokenSigningFailed",
  { algorithm: Schema.String },
  {
    ...configuration,
    code: "TOKEN_SIGNING_FAILED",
    title: "The one-time token could not be signed",
    explanation:
      "The provisioner key was accepted at start-up but the cryptographic library refuses to sign with it.",
    message: ({ algorithm }) => `signing with "alg" ${algorithm} failed`,
    remediation: () =>
      `check that the key parameters of ${keyVariable} belong together, or make a new provisioner key`
  }
) {}
