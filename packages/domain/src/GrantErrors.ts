/** Why a grant does not allow what is asked of it. All are found before the CA is asked anything. */
import { DateTime, Duration, Schema } from "effect"
import { ErrorClass } from "./ErrorClass.ts"
import { ExitCode } from "./ExitCode.ts"
import { GrantId } from "./GrantId.ts"
import { formatLifetime } from "./Lifetime.ts"
import { UserId } from "./UserId.ts"

const refused = { exitCode: ExitCode.refused, retryable: false } as const

export class GrantNotFound extends ErrorClass<GrantNotFound>()(
  "GrantNotFound",
  { grantId: GrantId },
  {
    ...refused,
    code: "GRANT_NOT_FOUND",
    title: "There is no such grant",
    explanation: "No row has this id. It may live in another database: see DATABASE_URL and MOSAIC_HOME.",
    httpStatus: 404,
    message: ({ grantId }) => `no grant ${grantId}`,
    remediation: () => `list the grants there are: mosaic federation grant list`
  }
) {}

export class GrantAlreadyExists extends ErrorClass<GrantAlreadyExists>()(
  "GrantAlreadyExists",
  { grantId: GrantId },
  {
    ...refused,
    code: "GRANT_ALREADY_EXISTS",
    title: "A grant with this id exists already",
    explanation: "Ids are never used twice, not even after a revocation.",
    httpStatus: 409,
    message: ({ grantId }) => `grant ${grantId} exists already`,
    remediation: ({ grantId }) =>
      `leave the id out to get a fresh one, or look at it: mosaic federation grant show ${grantId}`
  }
) {}

export class GrantRevoked extends ErrorClass<GrantRevoked>()(
  "GrantRevoked",
  { grantId: GrantId, revokedAt: Schema.DateTimeUtcFromString, reason: Schema.String },
  {
    ...refused,
    code: "GRANT_REVOKED",
    title: "The grant is revoked",
    explanation:
      "A revoked grant never issues again. Create a new grant where the peer shall have access after all.",
    httpStatus: 403,
    message: ({ grantId, reason, revokedAt }) =>
      `grant ${grantId} was revoked at ${DateTime.formatIso(revokedAt)}: ${reason}`,
    remediation: () =>
      `create a new grant, or as a peer ask the grantor for one: mosaic federation grant create --user USER --peer PEER --scope SCOPE --expires-in 30d`
  }
) {}

export class GrantSuspended extends ErrorClass<GrantSuspended>()(
  "GrantSuspended",
  { grantId: GrantId },
  {
    ...refused,
    code: "GRANT_SUSPENDED",
    title: "The grant is suspended",
    explanation: "A suspended grant issues nothing until it is resumed.",
    httpStatus: 403,
    message: ({ grantId }) => `grant ${grantId} is suspended`,
    remediation: ({ grantId }) =>
      `have the grantor resume it; its state: mosaic federation grant show ${grantId}`
  }
) {}

export class GrantExpired extends ErrorClass<GrantExpired>()(
  "GrantExpired",
  { grantId: GrantId, expiresAt: Schema.DateTimeUtcFromString },
  {
    ...refused,
    code: "GRANT_EXPIRED",
    title: "The grant has expired",
    explanation: "The clock is at or past the grant's expiry.",
    httpStatus: 403,
    message: ({ expiresAt, grantId }) => `grant ${grantId} expired at ${DateTime.formatIso(expiresAt)}`,
    remediation: () =>
      `create a new grant, or as a peer ask the grantor for one: mosaic federation grant create --user USER --peer PEER --scope SCOPE --expires-in 30d`
  }
) {}

export class GrantSubjectMismatch extends ErrorClass<GrantSubjectMismatch>()(
  "GrantSubjectMismatch",
  { grantId: GrantId, asked: UserId },
  {
    ...refused,
    code: "GRANT_SUBJECT_MISMATCH",
    title: "The grant acts for another user",
    explanation: "The subject user id in the request is not the grant's. Whose grant it is, is not told.",
    httpStatus: 403,
    message: ({ asked, grantId }) => `grant ${grantId} does not act for user ${asked}`,
    remediation: () =>
      `ask with the subject user id of the grant, or find the right grant: mosaic federation grant list --user USER`
  }
) {}

export class GrantTooShort extends ErrorClass<GrantTooShort>()(
  "GrantTooShort",
  { grantId: GrantId, expiresAt: Schema.DateTimeUtcFromString, shortest: Schema.DurationFromMillis },
  {
    ...refused,
    code: "GRANT_TOO_SHORT",
    title: "The grant has less left than the shortest certificate",
    explanation:
      "The grant ends sooner than the CA's shortest certificate (MOSAIC_CERT_MIN) would, so none can be issued for it.",
    httpStatus: 403,
    message: ({ expiresAt, grantId, shortest }) =>
      `grant ${grantId} ends at ${DateTime.formatIso(expiresAt)}, and the shortest certificate lives ${formatLifetime(shortest)}`,
    remediation: () =>
      `create a grant that lasts longer, or lower MOSAIC_CERT_MIN for both the CA and this program`
  }
) {}

export class LifetimeTooLong extends ErrorClass<LifetimeTooLong>()(
  "LifetimeTooLong",
  { asked: Schema.DurationFromMillis, longest: Schema.DurationFromMillis },
  {
    ...refused,
    code: "LIFETIME_TOO_LONG",
    title: "The lifetime asked for is longer than allowed",
    explanation:
      "The lifetime is above MOSAIC_CERT_MAX. A stated lifetime is given in full or refused, never cut.",
    httpStatus: 400,
    message: ({ asked, longest }) =>
      `asked for ${formatLifetime(asked)}, at most ${formatLifetime(longest)} is allowed`,
    remediation: ({ longest }) =>
      `ask for at most --lifetime ${formatLifetime(longest)}, or raise MOSAIC_CERT_MAX for both the CA and this program`
  }
) {}

export class LifetimeTooShort extends ErrorClass<LifetimeTooShort>()(
  "LifetimeTooShort",
  { asked: Schema.DurationFromMillis, shortest: Schema.DurationFromMillis },
  {
    ...refused,
    code: "LIFETIME_TOO_SHORT",
    title: "The lifetime asked for is shorter than the CA issues",
    explanation: "The lifetime is below MOSAIC_CERT_MIN.",
    httpStatus: 400,
    message: ({ asked, shortest }) =>
      `asked for ${formatLifetime(asked)}, at least ${formatLifetime(shortest)} is needed`,
    remediation: ({ shortest }) =>
      `ask for at least --lifetime ${formatLifetime(shortest)}, or lower MOSAIC_CERT_MIN for both the CA and this program`
  }
) {}

export class LifetimeBeyondGrant extends ErrorClass<LifetimeBeyondGrant>()(
  "LifetimeBeyondGrant",
  {
    grantId: GrantId,
    asked: Schema.DurationFromMillis,
    left: Schema.DurationFromMillis,
    expiresAt: Schema.DateTimeUtcFromString
  },
  {
    ...refused,
    code: "LIFETIME_BEYOND_GRANT",
    title: "The lifetime asked for goes past the grant's end",
    explanation:
      "No certificate outlives its grant. A stated lifetime is given in full or refused; leave it out to get what the grant has left.",
    httpStatus: 403,
    message: ({ asked, expiresAt, grantId, left }) =>
      `asked for ${formatLifetime(asked)}, but grant ${grantId} ends at ${DateTime.formatIso(expiresAt)}, in ${formatLifetime(left)}`,
    remediation: ({ left }) =>
      `leave --lifetime out to get what the grant has left, or ask for at most --lifetime ${formatLifetime(Duration.max(left, Duration.zero))}`
  }
) {}

export class GrantEndedInFlight extends ErrorClass<GrantEndedInFlight>()(
  "GrantEndedInFlight",
  { grantId: GrantId, serial: Schema.String, status: Schema.String, revokedAtCa: Schema.Boolean },
  {
    ...refused,
    code: "GRANT_ENDED_IN_FLIGHT",
    title: "The grant ended while its certificate was being issued",
    explanation:
      "The grant was revoked, suspended or expired between the first check and the record of the certificate. The certificate is withheld and revoked at the CA.",
    httpStatus: 409,
    message: ({ grantId, revokedAtCa, serial, status }) =>
      `grant ${grantId} became ${status} during the issuance; certificate ${serial} is withheld${revokedAtCa ? " and revoked at the CA" : "; its revocation at the CA failed"}`,
    remediation: ({ grantId }) => `look at the grant: mosaic federation grant show ${grantId}`
  }
) {}
