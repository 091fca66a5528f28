/** The options that several commands share, so that one thing has one name, one form and one explanation. */
import { Reason } from "@mosaic-federation/domain/api/GrantDocuments"
import { PeerName } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { UserId } from "@mosaic-federation/domain/UserId"
import { Option } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import { Period } from "./Period.ts"

/** Given twice, an option would mean one of its two values, and nobody can tell which. */
export const required = <A>(flag: Flag.Flag<A>): Flag.Flag<A> =>
  Flag.between(flag, 1, 1).pipe(
    Flag.filterMap(
      ([value]) => Option.fromUndefinedOr(value),
      () => "Expected it once"
    )
  )

export const optional = <A>(flag: Flag.Flag<A>): Flag.Flag<Option.Option<A>> =>
  Flag.between(flag, 0, 1).pipe(Flag.map(([value]) => Option.fromUndefinedOr(value)))

export const grantFlag = Flag.String("grant").pipe(
  Flag.withSchema(GrantId),
  Flag.withMetavar("<grant id>"),
  Flag.withDescription("The grant: its UUID, as grant list shows it")
)

export const userFlag = Flag.String("user").pipe(
  Flag.withSchema(UserId),
  Flag.withMetavar("<user id>"),
  Flag.withDescription("The local user it acts for: a UUID in lower case")
)

export const peerFlag = Flag.String("peer").pipe(
  Flag.withSchema(PeerName),
  Flag.withMetavar("<peer>"),
  Flag.withDescription("The name by which this gateway knows the other one")
)

export const limitFlag = Flag.Int("limit").pipe(
  Flag.filter(
    (limit) => limit >= 1 && limit <= 1000,
    () => "Expected a number from 1 to 1000"
  ),
  Flag.withMetavar("<count>"),
  Flag.withDescription("How many to show at most, the newest first; by default 100"),
  optional,
  Flag.map(Option.getOrElse(() => 100))
)

/** Only what ends soon. */
export const expiringFlag = Flag.String("expiring").pipe(
  Flag.withSchema(Period),
  Flag.withMetavar("<period>"),
  Flag.withDescription("Only what ends within this time and has not ended: 1h, 7d"),
  optional
)

export const reasonFlag = Flag.String("reason").pipe(
  Flag.withSchema(Reason),
  Flag.withMetavar("<text>"),
  Flag.withDescription("Why; it stays on record and refusals repeat it"),
  optional,
  Flag.map(Option.getOrElse(() => "revoked by the operator"))
)

export const grantArgument = Argument.String("grant").pipe(
  Argument.withSchema(GrantId),
  Argument.withDescription("The grant's id")
)

export const serialArgument = Argument.String("serial").pipe(
  Argument.withSchema(SerialNumber),
  Argument.withDescription("The serial number in decimal, as cert list shows it")
)

export const certOutFlag = Flag.String("cert-out").pipe(
  Flag.withMetavar("<file>"),
  Flag.withDescription("Where the certificate goes: PEM, leaf first, then its chain"),
  required
)

export const forceFlag = Flag.Boolean("force").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Replace output files that exist")
)

export const rootFlag = Flag.String("root").pipe(
  Flag.withMetavar("<file>"),
  Flag.withDescription("PEM file with the pinned root, or several; by default STEP_CA_ROOT_CERT_PATH"),
  optional
)
