/**
 * What an enrollment token is: on record, with no secret in it, and as the peer holds it, one word that carries where to
 * redeem it and by which root to know that place.
 */
import { DateTime, Duration, Redacted, Result, Schema } from "effect"
import { EnrollmentTokenMalformed } from "./EnrollmentErrors.ts"
import { EnrollmentTokenId } from "./EnrollmentTokenId.ts"
import { GrantId } from "./GrantId.ts"
import { SerialNumber } from "./SerialNumber.ts"

/** Lower-case hex SHA-256. */
export const Sha256Hex = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "a SHA-256 in 64 lower-case hex digits" })
)

export const EnrollmentTokenStatus = Schema.Literals(["open", "used", "revoked", "expired"])

export type EnrollmentTokenStatus = typeof EnrollmentTokenStatus.Type

/** How long after its use a token gives the same certificate to the same CSR. */
export const repeatableFor = Duration.hours(1)

/** The redemption that brought the certificate. */
export class EnrollmentTokenUse extends Schema.Class<EnrollmentTokenUse>("EnrollmentTokenUse")({
  at: Schema.DateTimeUtcFromString,
  /** The address of the peer, as the gateway saw it. */
  from: Schema.String,
  requestId: Schema.String,
  serial: SerialNumber
}) {}

export class EnrollmentToken extends Schema.Class<EnrollmentToken>("EnrollmentToken")({
  id: EnrollmentTokenId,
  grantId: GrantId,
  /** SHA-256 of the SubjectPublicKeyInfo that alone may be enrolled; null for any key. */
  keySha256: Schema.NullOr(Sha256Hex),
  createdAt: Schema.DateTimeUtcFromString,
  createdBy: Schema.String,
  expiresAt: Schema.DateTimeUtcFromString,
  revokedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  use: Schema.NullOr(EnrollmentTokenUse)
}) {
  statusAt(now: DateTime.Utc): EnrollmentTokenStatus {
    if (this.use !== null) return "used"
    if (this.revokedAt !== null) return "revoked"
    return DateTime.isGreaterThanOrEqualTo(now, this.expiresAt) ? "expired" : "open"
  }
}

/** What the peer needs before it trusts anything. */
const Contents = Schema.Struct({
  /** Scheme, host and port of the gateway. */
  url: Schema.String,
  /** The roots by which the gateway's TLS certificate is known, as SHA-256 of their DER; one, or more in a rotation. */
  roots: Schema.Array(Sha256Hex).check(Schema.isMinLength(1), Schema.isMaxLength(8)),
  /** 256 random bits in base64url. */
  secret: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{43}$/, { expected: "32 octets in base64url" }))
})

export type EnrollmentTokenContents = typeof Contents.Type

/** Greppable, so that a token that leaks into a repository or a log is found by scanners of secrets. */
const prefix = "mosaic_enroll_1_"

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Contents))

export const formatEnrollmentToken = ({ roots, secret, url }: EnrollmentTokenContents): Redacted.Redacted =>
  Redacted.make(`${prefix}${Buffer.from(JSON.stringify({ url, roots, secret })).toString("base64url")}`, {
    label: "enrollment token"
  })

/** Says of what is no token only that it is none: it may be another secret. */
export const parseEnrollmentToken = (
  token: Redacted.Redacted
): Result.Result<EnrollmentTokenContents, EnrollmentTokenMalformed> => {
  const text = Redacted.value(token)
  const malformed = (problem: string) => Result.fail(new EnrollmentTokenMalformed({ problem }))
  if (text === "") return malformed("the enrollment token is empty")
  if (!text.startsWith(prefix)) return malformed(`the enrollment token does not begin with ${prefix}`)
  const encoded = text.slice(prefix.length)
  if (!/^[A-Za-z0-9_-]{1,4096}$/.test(encoded))
    return malformed("the enrollment token has characters that no token has, such as a space or a line break")
  return Result.flatMap(
    Result.mapError(
      decode(Buffer.from(encoded, "base64url").toString("utf8")),
      () => new EnrollmentTokenMalformed({ problem: "the enrollment token is damaged, or was cut" })
    ),
    (contents) =>
      URL.parse(contents.url)?.protocol === "https:"
        ? Result.succeed(contents)
        : malformed("the enrollment token names no https URL")
  )
}
