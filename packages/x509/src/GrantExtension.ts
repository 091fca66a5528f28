/**
 * The two extensions that make a certificate a grant certificate: the grant's id and the subject user's id, each a DER
 * UTF8String of one canonical UUID. There is one encoding, and decoding accepts nothing else.
 */
import { Result } from "effect"
import { bufferOver } from "./internal/bufferOver.ts"
import type { GrantOids } from "./Oid.ts"
import { isCanonicalUuid } from "./Uuid.ts"

export interface Extension {
  readonly oid: string
  readonly critical: boolean
  /** The contents of extnValue: the DER of the extension's own type. */
  readonly value: Uint8Array
}

export type GrantField = keyof GrantOids

export type ValueReason =
  | "WrongTag"
  | "LongFormLength"
  | "WrongLength"
  | "Truncated"
  | "TrailingBytes"
  | "NotAscii"
  | "UpperCase"
  | "NotUuid"

/** Why bytes are not the value of a grant extension. */
export interface ValueFault {
  readonly _tag: ValueReason
  readonly message: string
}

/** Why a set of extensions does not name one grant and one user. */
export interface GrantExtensionFault {
  readonly _tag: ValueReason | "Missing" | "Duplicate" | "Critical"
  readonly field: GrantField
  readonly oid: string
  readonly message: string
}

/** X.690 §8.23: UTF8String, universal 12. */
const utf8StringTag = 0x0c

/** X.690 §8.1.3.4: 36 in the short form. */
const uuidLength = 0x24

const hex = (octet: number | undefined) =>
  octet === undefined ? "nothing" : octet.toString(16).padStart(2, "0").toUpperCase()

/** `0C 24` and the UUID in ASCII: 38 octets. */
export const encode = (uuid: string): Result.Result<Uint8Array, ValueFault> => {
  if (!isCanonicalUuid(uuid)) {
    return Result.fail({
      _tag: "NotUuid",
      message: `${JSON.stringify(uuid.slice(0, 64))} is not a canonical lower-case UUID`
    })
  }
  const value = new Uint8Array(2 + uuidLength)
  value[0] = utf8StringTag
  value[1] = uuidLength
  bufferOver(value).write(uuid, 2, "latin1")
  return Result.succeed(value)
}

/** The UUID, in the one encoding that `encode` makes. Total: every other input has its reason. */
export const decodeValue = (value: Uint8Array): Result.Result<string, ValueFault> => {
  const fail = (_tag: ValueReason, message: string) => Result.fail({ _tag, message })
  const tag = value[0]
  const length = value[1]
  if (tag === undefined) return fail("Truncated", "the value is empty")
  if (tag !== utf8StringTag) return fail("WrongTag", `expected tag 0C (UTF8String), found ${hex(tag)}`)
  if (length === undefined) return fail("Truncated", "the value ends after its tag")
  // X.690 §10.1: 36 fits the short form, so DER has no other.
  if (length >= 0x80) return fail("LongFormLength", `expected the short-form length 24, found ${hex(length)}`)
  if (length !== uuidLength)
    return fail("WrongLength", `expected length 24 (36 octets), found ${hex(length)} (${length} octets)`)
  if (value.length < 2 + uuidLength)
    return fail("Truncated", `expected 36 octets after the length, found ${value.length - 2}`)
  if (value.length > 2 + uuidLength)
    return fail("TrailingBytes", `${value.length - 2 - uuidLength} octets follow the UUID`)
  const text = bufferOver(value).toString("latin1", 2)
  if (isCanonicalUuid(text)) return Result.succeed(text)
  if (value.some((octet) => octet > 0x7f)) return fail("NotAscii", "an octet above 7F")
  return isCanonicalUuid(text.toLowerCase())
    ? fail("UpperCase", `${text} is not in lower case`)
    : fail("NotUuid", `${JSON.stringify(text)} is not a canonical UUID`)
}

const readField = (
  extensions: ReadonlyArray<Extension>,
  field: GrantField,
  oid: string
): Result.Result<string, GrantExtensionFault> => {
  const fail = (_tag: GrantExtensionFault["_tag"], message: string) =>
    Result.fail({ _tag, field, oid, message })
  const [extension, second] = extensions.filter((candidate) => candidate.oid === oid)
  if (extension === undefined) return fail("Missing", "the extension is absent")
  // RFC 5280 §4.2: at most one instance of a particular extension.
  if (second !== undefined) return fail("Duplicate", "the extension is there more than once")
  if (extension.critical) return fail("Critical", "the extension is marked critical")
  return Result.mapError(decodeValue(extension.value), ({ _tag, message }) => ({ _tag, field, oid, message }))
}

export interface GrantIds {
  readonly grantId: string
  readonly subjectUserId: string
}

/** Both ids, each from exactly one extension that is not critical. The first fault ends the reading. */
export const fromExtensions = (
  extensions: ReadonlyArray<Extension>,
  oids: GrantOids
): Result.Result<GrantIds, GrantExtensionFault> =>
  Result.flatMap(readField(extensions, "grantId", oids.grantId), (grantId) =>
    Result.map(readField(extensions, "subjectUserId", oids.subjectUserId), (subjectUserId) => ({
      grantId,
      subjectUserId
    }))
  )
