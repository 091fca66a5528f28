/** The options that several commands share, so that one thing has one name, one form and one explanation. */
import { PeerName } from "@mosaic-federation/domain/Grant"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { UserId } from "@mosaic-federation/domain/UserId"
import * as Flag from "effect/cli/Flag"

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
  Flag.withDefault(100),
  Flag.withMetavar("<count>"),
  Flag.withDescription("How many to show at most, the newest first")
)

export const certOutFlag = Flag.String("cert-out").pipe(
  Flag.withMetavar("<file>"),
  Flag.withDescription("Where the certificate goes: PEM, leaf first, then its chain")
)

export const forceFlag = Flag.Boolean("force").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Replace output files that exist")
)

export const rootFlag = Flag.String("root").pipe(
  Flag.optional,
  Flag.withMetavar("<file>"),
  Flag.withDescription("PEM file with the pinned root, or several; by default STEP_CA_ROOT_CERT_PATH")
)
