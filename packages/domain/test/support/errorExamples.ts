/**
 * One instance of every error, with the values of one imagined installation. The tests hold each against the rules that
 * all errors keep, and docs/errors.md shows them, so what is documented is what the classes say.
 */
import * as Ca from "../../src/CaErrors.ts"
import * as Certificate from "../../src/CertificateErrors.ts"
import * as Command from "../../src/CommandErrors.ts"
import * as Configuration from "../../src/ConfigurationErrors.ts"
import * as Enrollment from "../../src/EnrollmentErrors.ts"
import { EnrollmentTokenId } from "../../src/EnrollmentTokenId.ts"
import * as Gateway from "../../src/GatewayErrors.ts"
import * as Grants from "../../src/GrantErrors.ts"
import { GrantId } from "../../src/GrantId.ts"
import type { MosaicError } from "../../src/MosaicError.ts"
import * as Peer from "../../src/PeerErrors.ts"
import * as PeerSide from "../../src/PeerSideErrors.ts"
import * as Request from "../../src/RequestErrors.ts"
import * as Rotation from "../../src/RotationErrors.ts"
import * as Server from "../../src/ServerErrors.ts"
import * as Storage from "../../src/StorageErrors.ts"
import * as Transport from "../../src/TransportErrors.ts"
import { UserId } from "../../src/UserId.ts"
import { DateTime, Duration } from "effect"

const grantId = GrantId.make("9f8c2a1e-5b7d-4c3f-8a60-1d2e3f405162")
const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")
const tokenId = EnrollmentTokenId.make("3c1d7e52-90ab-4f6e-8d21-7b6a5c4d3e2f")
const serial = "98037421659023847561029384756102938475"
const kid = "Xb7r2Jm1qvE0kDgTzQ4s9LwYc8NhUaOi3Fp5RtKdVxM"
const otherKid = "p0QmYt6wZsA1eRfHj3LkUvBn7CxDiGo2TyEa9WqSrPl"
const requestId = "cp3f0a9k2s7d5u8v1b6g"
const otherSerial = "71520938465109283746501928374650192837"
const keySha256 = "5e1f0a77c2b94d3e8a6f51d20c7b9e4f3d8a2c6b1e0f97d5a4c3b2e1f0d9c8b7"
const otherKeySha256 = "a90b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809"
const origin = "https://ca.example:9000"
const gatewayUrl = "https://gateway.example:8443"
const root = "/etc/mosaic/root_ca.crt"
const expiresAt = DateTime.makeUnsafe("2026-07-01T00:00:00Z")
const passed = DateTime.makeUnsafe("2026-06-01T12:00:00Z")
const mismatches = [{ field: "subject", expected: `CN=${grantId}`, found: "CN=gateway.example" }]

const keyId = "7f3a9c0e1b5d2846"

export const errorExamples: ReadonlyArray<MosaicError> = [
  new Configuration.ConfigMissing({
    variable: "STEP_CA_URL",
    expects: "the CA's https URL: scheme, host and port, such as https://ca.example:9000"
  }),
  new Configuration.ConfigConflict({ variable: "STEP_CA_PROVISIONER_PASSWORD" }),
  new Configuration.ConfigFileUnreadable({
    variable: "STEP_CA_PROVISIONER_PASSWORD_FILE",
    path: "/run/secrets/provisioner_password",
    reason: "no such file"
  }),
  new Configuration.ConfigInvalid({
    variable: "STEP_CA_URL",
    problem: "the scheme is http, only https is accepted",
    expects: "the CA's https URL: scheme, host and port, such as https://ca.example:9000"
  }),
  new Configuration.ConfigFileMalformed({
    path: "mosaic.config.json",
    line: 3,
    column: 1,
    problem: "unexpected end of the file",
    remedy: "complete the JSON object"
  }),
  new Configuration.ConfigKeyUnknown({
    path: "mosaic.config.json",
    line: 3,
    column: 3,
    key: "databse",
    suggestion: "database",
    known: ["tier", "database", "queue"]
  }),
  new Configuration.ConfigValueInvalid({
    path: "mosaic.config.json",
    line: 4,
    column: 12,
    key: "queue",
    problem: "the scheme is http, not redis or rediss",
    expects: "rediss://:PASSWORD@HOST:6380"
  }),
  new Configuration.TierIncomplete({
    path: "mosaic.config.json",
    line: 2,
    column: 11,
    tier: "federated",
    key: "queue",
    variable: "REDIS_URL",
    expects: "rediss://:PASSWORD@HOST:6380"
  }),
  new Configuration.ProvisionerKeyNotJwk({ problem: 'the JSON object has no "kty" (Key Type) parameter' }),
  new Configuration.ProvisionerKeyPublicOnly({ kid }),
  new Configuration.ProvisionerKeyWrongPassword({}),
  new Configuration.ProvisionerKeyIterationsRefused({ found: 5_000_000, most: 1_000_000 }),
  new Configuration.ProvisionerKeyUnsupported({ found: 'a key with "kty" EC P-521' }),
  new Configuration.ProvisionerKeyKidMismatch({
    found: kid,
    expected: otherKid,
    source: "the key's RFC 7638 thumbprint"
  }),
  new Configuration.ProvisionerKeySymmetricRefused({}),
  new Configuration.RootCertificateRefused({
    variable: "MOSAIC_GATEWAY_ROOT",
    path: root,
    problem: "CN=Example Intermediate CA is not self-signed: it is no root"
  }),
  new Configuration.RootCertificateExpired({
    variable: "STEP_CA_ROOT_CERT_PATH",
    path: root,
    subject: "CN=Example Root CA",
    notAfter: passed
  }),
  new Configuration.TokenSigningFailed({ algorithm: "ES256" }),
  new Request.RequestInvalid({ problem: 'Expected a canonical lower-case UUID at ["grantId"]' }),
  new Request.CsrMalformed({ problem: "there is no PEM block" }),
  new Request.CsrTooLarge({ size: 20_000, most: 16_384 }),
  new Request.CsrSignatureInvalid({ problem: "it does not verify with subjectPublicKeyInfo" }),
  new Request.CsrKeyRefused({
    found: "EC P-521",
    allowed: "EC P-256, EC P-384, Ed25519, RSA 2048 to 8192"
  }),
  new Request.CsrSubjectMismatch({ expected: `CN=${grantId}`, found: "CN=gateway.example" }),
  new Request.CsrSanMismatch({ expected: `URI:urn:uuid:${grantId}`, found: "DNS:gateway.example" }),
  new Request.RateLimited({
    limit: "per-grant",
    allowed: 10,
    windowSeconds: 60,
    retryAfterSeconds: 7
  }),
  new Grants.GrantNotFound({ grantId }),
  new Grants.GrantAlreadyExists({ grantId }),
  new Grants.GrantRevoked({ grantId, revokedAt: passed, reason: "the peer lost its key" }),
  new Grants.GrantSuspended({ grantId }),
  new Grants.GrantExpired({ grantId, expiresAt: passed }),
  new Grants.GrantSubjectMismatch({ grantId, asked: userId }),
  new Grants.GrantTooShort({ grantId, expiresAt, shortest: Duration.minutes(5) }),
  new Grants.LifetimeTooLong({ asked: Duration.hours(48), longest: Duration.hours(24) }),
  new Grants.LifetimeTooShort({ asked: Duration.minutes(1), shortest: Duration.minutes(5) }),
  new Grants.LifetimeBeyondGrant({
    grantId,
    asked: Duration.hours(24),
    left: Duration.minutes(90),
    expiresAt
  }),
  new Grants.GrantEndedInFlight({ grantId, serial, status: "revoked", revokedAtCa: true }),
  new Enrollment.EnrollmentTokenMalformed({
    problem: "the enrollment token does not begin with mosaic_enroll_1_"
  }),
  new Enrollment.EnrollmentTokenUnknown(),
  new Enrollment.EnrollmentTokenNotFound({ tokenId }),
  new Enrollment.EnrollmentTokenExpired({ tokenId, expiresAt: passed }),
  new Enrollment.EnrollmentTokenRevoked({ tokenId, revokedAt: passed }),
  new Enrollment.EnrollmentTokenUsed({
    tokenId,
    usedAt: passed,
    usedFrom: "198.51.100.7",
    usedByRequest: requestId,
    serial
  }),
  new Enrollment.EnrollmentTokenBusy({ tokenId }),
  new Enrollment.EnrollmentKeyMismatch({ tokenId, expected: keySha256, found: otherKeySha256 }),
  new Peer.PeerCertificateMissing(),
  new Peer.PeerCertificateNotGrant({ problem: "extension 2.25.99 (grantId) is absent" }),
  new Peer.PeerCertificateUnknown({ serial }),
  new Peer.PeerCertificateUntrusted({
    serial,
    expected: "a chain up to a pinned root",
    found: "CN=Old Intermediate CA issued by CN=Old Root CA, which is not pinned"
  }),
  new Peer.PeerCertificateExpired({ serial, notAfter: passed }),
  new Peer.PeerCertificateNotYetValid({ serial, notBefore: expiresAt }),
  new Peer.PeerCertificateRevoked({ serial, revokedAt: passed }),
  new Peer.RenewalTooSoon({
    serial,
    renewedBy: otherSerial,
    since: passed,
    interval: Duration.minutes(1),
    retryAt: DateTime.makeUnsafe("2026-06-01T12:01:00Z")
  }),
  new Peer.RenewalProofInvalid({
    problem: "aud: expected https://gateway.example/v1/renew, found https://other.example/v1/renew"
  }),
  new Peer.RenewalProofStale({ issuedAt: passed, now: DateTime.makeUnsafe("2026-06-01T12:05:00Z") }),
  new Peer.RenewalProofReplayed({ jti: "0f8d1c6e-2b7a-4c39-9d5e-6a4b3c2d1e0f" }),
  new Server.AuthenticationRequired(),
  new Server.ApiKeyUnknown(),
  new Server.ApiKeyRevoked({ keyId, revokedAt: passed }),
  new Server.ApiKeyExpired({ keyId, expiredAt: passed }),
  new Server.ApiKeyRotated({ keyId, rotatedTo: "b64d0f1c93a7e528" }),
  new Server.ApiKeyNotFound({ keyId }),
  new Server.OperatorTokenRefused({ problem: `aud: expected mosaic, found another-service` }),
  new Server.OperatorIssuerUnavailable({ issuer: "https://id.example", problem: "no answer within 5 s" }),
  new Server.ScopeInsufficient({ needed: "admin", held: "issue", action: "POST /v1/revocations" }),
  new Server.EndpointNotFound({ method: "GET", path: "/v1/grant" }),
  new Server.BodyTooLarge({ mostBytes: 65_536 }),
  new Server.LengthRequired(),
  new Server.RequestTimedOut({ afterSeconds: 30 }),
  new Server.ServerOverloaded({ inFlight: 256, mostInFlight: 256, retryAfterSeconds: 1 }),
  new Server.ServerDraining({ retryAfterSeconds: 5 }),
  new Server.IdempotencyKeyReused({ idempotencyKey: "2f6f1b7e-order-4711" }),
  new Server.ListenFailed({ address: "127.0.0.1:8443", reason: "EADDRINUSE" }),
  new Server.ValkeyUnavailable({ host: "valkey-federated", port: 6379, reason: "no answer within 1s" }),
  new Server.ProxyBypassed({ address: "203.0.113.9" }),
  new Server.ServerCertificateRefused({
    problem: "the CA answered 400: claim sans holds a name that is not one of MOSAIC_GATEWAY_NAMES",
    provisioner: "mosaic-gateway",
    names: "gateway.example",
    requestId
  }),
  new Gateway.GatewayUnreachable({ url: gatewayUrl, reason: "ECONNREFUSED", asker: "operator" }),
  new Gateway.GatewayUntrusted({
    url: gatewayUrl,
    check: "issuer",
    reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    asker: "operator"
  }),
  new Gateway.GatewayAnswerLost({
    url: gatewayUrl,
    reason: "no complete answer within 60000 ms",
    asker: "operator"
  }),
  new Gateway.GatewayAnswerUnreadable({ url: gatewayUrl, problem: "200 with a body that is not JSON" }),
  new Gateway.GatewayErrorUnknown({
    url: gatewayUrl,
    status: 409,
    unknownCode: "GRANT_MOVED",
    detail: "the grant was moved to another tenant",
    advice: "ask the gateway of that tenant",
    requestId
  }),
  new PeerSide.EnrollmentUrlMismatch({ given: "https://other.example:8443", inToken: gatewayUrl }),
  new PeerSide.GatewayRootsRefused({
    url: gatewayUrl,
    problem: `CN=Mosaic Root has SHA-256 ${otherKeySha256}, which is not in the token`
  }),
  new PeerSide.PeerDirectoryUnusable({
    directory: "/var/lib/mosaic/peer",
    problem: "there is no certificate in it",
    advice: "enroll first: mosaic federation enroll --token-file FILE --out /var/lib/mosaic/peer"
  }),
  new PeerSide.PeerDirectoryBusy({ directory: "/var/lib/mosaic/peer", pid: 4711 }),
  new PeerSide.RenewalHookFailed({ command: "systemctl reload orders", outcome: "exit code 1" }),
  new PeerSide.RenewalOverdue({ serial, dueAt: passed, notAfter: expiresAt }),
  new Transport.CaConnectionRefused({ origin }),
  new Transport.CaUnreachable({ origin, reason: "EHOSTUNREACH" }),
  new Transport.CaNameNotResolved({ origin, reason: "ENOTFOUND" }),
  new Transport.CaIssuerUnknown({ origin, reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }),
  new Transport.CaCertificateExpired({ origin, reason: "CERT_HAS_EXPIRED" }),
  new Transport.CaHostNameMismatch({ origin }),
  new Transport.CaTlsFailed({ origin, reason: "ERR_SSL_WRONG_VERSION_NUMBER" }),
  new Transport.CaConnectionReset({ origin }),
  new Transport.CaTimeout({ origin, phase: "answer", afterMillis: 10_000 }),
  new Transport.CaResponseTooLarge({ origin, mostBytes: 1_048_576 }),
  new Transport.CaResponseTruncated({ origin }),
  new Transport.CaResponseNotJson({ origin, status: 502 }),
  new Transport.CaResponseEmpty({ origin, status: 201 }),
  new Transport.CaResponseShape({ origin, problem: 'neither "crt" nor "certChain" is there' }),
  new Transport.CaRedirected({ origin, status: 307 }),
  new Ca.CaBadRequest({ requestId, detail: "error parsing certificate request" }),
  new Ca.CaTemplateRefused({ requestId, detail: "mosaic-template: claim mosaic_grant_id is absent" }),
  new Ca.CaTokenRefused({
    requestId,
    examined: "this token is new to the CA as far as this process knows; the clocks differ by 0 s"
  }),
  new Ca.CaProvisionerUnknown({
    requestId,
    provisioner: "mosaic",
    known: "mosaic-fed, mosaic-gateway"
  }),
  new Ca.CaKeyUnknown({ requestId, kid, provisioner: "mosaic-fed", known: otherKid }),
  new Ca.CaKeyMismatch({ requestId, kid, provisioner: "mosaic-fed" }),
  new Ca.CaAudienceMismatch({
    requestId,
    audience: "https://10.0.0.7:9000/1.0/sign",
    served: "step-ca, localhost"
  }),
  new Ca.CaClockSkew({ requestId, skewSeconds: -300, leewaySeconds: 60 }),
  new Ca.CaTokenReused({ requestId }),
  new Ca.CaTokenBeforeStart({ requestId, behindSeconds: 20 }),
  new Ca.CaForbidden({
    requestId,
    detail: "requested duration of 48h0m0s is more than the authorized maximum certificate duration"
  }),
  new Ca.CaNotFound({ requestId, url: "https://ca.example:9000/1.0/sign" }),
  new Ca.CaRateLimited({ requestId, retryAfterSeconds: 60 }),
  new Ca.CaInternalError({ requestId, status: 503 }),
  new Ca.CaUnexpectedStatus({ requestId, status: 202 }),
  new Ca.CaChainMissing({ requestId }),
  new Certificate.CertificateWithheld({ grantId, serial, mismatches, revokedAtCa: true }),
  new Certificate.IssuanceAmbiguous({
    grantId,
    serial,
    becauseCode: "CA_CONNECTION_RESET",
    because: `${origin} closed the connection before an answer`,
    deadBy: expiresAt
  }),
  new Certificate.IssuanceInProgress({ grantId, serial }),
  new Certificate.IssuanceOvertaken({
    grantId,
    serial,
    problem: "the grant's end was moved to 2026-11-24T10:05:00.000Z meanwhile",
    revokedAtCa: true
  }),
  new Certificate.CertificateUnreadable({ source: "peer.crt", problem: "there is no PEM block" }),
  new Certificate.CertificateNotConformant({ source: "peer.crt", mismatches }),
  new Storage.StorageUnavailable({ operation: "find a grant", reason: "no answer within 30 seconds" }),
  new Storage.StorageFailed({ operation: "create a grant", reason: "the disk is full (53100)" }),
  new Storage.StorageSchemaNewer({ found: 7, known: 2 }),
  new Storage.StorageSchemaOlder({ found: 2, known: 4 }),
  new Storage.EmbeddedPostgresUnavailable({
    reason: "PostgreSQL does not run as root, and neither a user namespace nor another uid can be used here"
  }),
  new Storage.EmbeddedPostgresFailed({
    reason: "postgres ended with status 1",
    log: "/home/me/.local/share/mosaic/postgres.log"
  }),
  new Storage.AuditChainBroken({
    height: 1204,
    problem: "record 1219 does not match its hash: it was changed, inserted or moved",
    breaks: 1
  }),
  new Storage.AuditTailMissing({
    height: 1199,
    signedHeight: 1204,
    signedAt: "2026-06-01T12:00:00.000Z"
  }),
  new Storage.AuditSignatureInvalid({
    what: "the checkpoint at height 1000",
    problem: "the signature does not fit what it signs"
  }),
  new Storage.AuditUnprotected({ login: "mosaic", problem: "is a superuser" }),
  new Storage.StorageRightMissing({ login: "mosaic_app", right: "DELETE on federation_audit" }),
  new Storage.PruneUnderWay({ since: passed }),
  new Rotation.CaConfigUnusable({
    path: "/srv/ca/config/ca.json",
    problem: "has no JWK provisioner mosaic-fed"
  }),
  new Rotation.RotationStateUnusable({
    directory: "/srv/ca/rotation",
    problem: "state.json is of the provisioner another-fed"
  }),
  new Rotation.RotationUnderWay({ directory: "/srv/ca/rotation", pid: 4711 }),
  new Rotation.RotationReloadFailed({
    who: "step-ca",
    phase: "begun",
    reason: "30 s after its reload it does not show mosaic-fed-next"
  }),
  new Command.UsageInvalid({
    problem: "--csr and --key-out are both given",
    help: "mosaic federation cert issue --help"
  }),
  new Command.InputUnreadable({ path: "request.csr", reason: "no such file" }),
  new Command.OutputExists({ path: "peer.key" }),
  new Command.OutputUnwritable({
    path: "/etc/peer.crt",
    reason: "permission denied",
    recovery: "name a file in a directory that can be written (ls -ld, df -h); nothing was issued"
  }),
  new Command.CertificateNotFound({ serial }),
  new Command.DoctorFailed({ checks: ["postgres", "clock"] }),
  new Command.DoctorWarned({ checks: ["root key"] }),
  new Command.RecordsDiffer({ undone: 2, forgotten: 1 }),
  new Command.InternalError({ defect: "a value was neither of two that it can be" })
]
