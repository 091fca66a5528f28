/**
 * Reads DER (X.690) without ever throwing or reading past its input. It knows identifiers, lengths and the few primitive
 * types that certificates are made of; what they mean is left to its callers.
 */
import { Result } from "effect"

/** Why a run of bytes is not the DER that is wanted there; `message` names the octet. */
export interface DerFault {
  readonly offset: number
  readonly message: string
}

export interface DerElement {
  /** The identifier octet (X.690 §8.1.2): class, constructed bit and tag number below 31. */
  readonly tag: number
  /** Identifier, length and contents. */
  readonly raw: Uint8Array
  readonly contents: Uint8Array
  /** Of the identifier octet, in the whole input. */
  readonly offset: number
}

export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31
} as const

const hex = (octet: number) => `0x${octet.toString(16).padStart(2, "0")}`

const fault = (offset: number, message: string): Result.Result<never, DerFault> =>
  Result.fail({ offset, message: `${message} at octet ${offset}` })

interface Length {
  readonly value: number
  readonly octets: number
}

const readLength = (bytes: Uint8Array, at: number): Result.Result<Length, DerFault> => {
  const first = bytes[at]
  if (first === undefined) return fault(at, "the length is cut off")
  if (first < 0x80) return Result.succeed({ value: first, octets: 1 })
  // X.690 §10.1: DER has definite lengths only.
  if (first === 0x80) return fault(at, "indefinite length")
  const count = first & 0x7f
  if (count > 4) return fault(at, `a length of ${count} octets`)
  if (at + 1 + count > bytes.length) return fault(at, "the length is cut off")
  const value = bytes.subarray(at + 1, at + 1 + count).reduce((sum, octet) => sum * 256 + octet, 0)
  // X.690 §10.1: in the fewest octets.
  if (value < 0x80 || value < 256 ** (count - 1)) return fault(at, "a length in more octets than it needs")
  return Result.succeed({ value, octets: 1 + count })
}

/** The element that begins at `at`; what follows it is not looked at. */
export const readElement = (bytes: Uint8Array, at = 0, base = 0): Result.Result<DerElement, DerFault> => {
  const tag = bytes[at]
  const offset = base + at
  if (tag === undefined) return fault(offset, "an element is missing")
  if ((tag & 0x1f) === 0x1f) return fault(offset, "a tag number above 30")
  const length = readLength(bytes, at + 1)
  if (Result.isFailure(length)) return fault(offset + 1, length.failure.message.replace(/ at octet \d+$/, ""))
  const start = at + 1 + length.success.octets
  const end = start + length.success.value
  if (end > bytes.length) return fault(offset, `an element of ${length.success.value} octets is cut off`)
  return Result.succeed({ tag, raw: bytes.subarray(at, end), contents: bytes.subarray(start, end), offset })
}

const contentsBase = (element: DerElement) => element.offset + element.raw.length - element.contents.length

/** All elements inside one, to its last octet. */
export const childrenOf = (element: DerElement): Result.Result<ReadonlyArray<DerElement>, DerFault> => {
  const children: Array<DerElement> = []
  for (let at = 0; at < element.contents.length;) {
    const child = readElement(element.contents, at, contentsBase(element))
    if (Result.isFailure(child)) return Result.fail(child.failure)
    children.push(child.success)
    at += child.success.raw.length
  }
  return Result.succeed(children)
}

/** The one element that the input consists of. */
export const readWhole = (bytes: Uint8Array, tag: number): Result.Result<DerElement, DerFault> =>
  Result.flatMap(readElement(bytes), (element) => {
    if (element.tag !== tag) return fault(0, `expected tag ${hex(tag)}, found ${hex(element.tag)}`)
    const rest = bytes.length - element.raw.length
    return rest === 0 ? Result.succeed(element) : fault(element.raw.length, `${rest} trailing octets`)
  })

export const expectTag = (
  element: DerElement | undefined,
  tag: number,
  what: string
): Result.Result<DerElement, DerFault> => {
  if (element === undefined) return fault(0, `${what} is missing`)
  return element.tag === tag
    ? Result.succeed(element)
    : fault(element.offset, `${what}: expected tag ${hex(tag)}, found ${hex(element.tag)}`)
}

/** The children of an element of that tag. */
export const expectChildren = (element: DerElement | undefined, tag: number, what: string) =>
  Result.flatMap(expectTag(element, tag, what), childrenOf)

/** X.690 §8.19, in dotted form; arcs of up to 9 octets. */
export const readOid = (element: DerElement | undefined, what: string): Result.Result<string, DerFault> =>
  Result.flatMap(expectTag(element, Tag.objectIdentifier, what), ({ contents, offset }) => {
    if (contents.length === 0) return fault(offset, `${what}: an empty OBJECT IDENTIFIER`)
    const arcs: Array<bigint> = []
    let arc = 0n
    let octets = 0
    for (const octet of contents) {
      // X.690 §8.19.2: the leading octet of an arc is not 0x80.
      if (octets === 0 && octet === 0x80) return fault(offset, `${what}: an arc with a leading zero`)
      octets += 1
      if (octets > 9) return fault(offset, `${what}: an arc above 2^63`)
      arc = (arc << 7n) | BigInt(octet & 0x7f)
      if (octet < 0x80) {
        arcs.push(arc)
        arc = 0n
        octets = 0
      }
    }
    if (octets !== 0) return fault(offset, `${what}: the last arc is cut off`)
    const [first = 0n, ...others] = arcs
    // X.690 §8.19.4: the first two arcs share one number.
    const root = first < 40n ? 0n : first < 80n ? 1n : 2n
    return Result.succeed([root, first - root * 40n, ...others].join("."))
  })

/** X.690 §8.3, as an unbounded integer. */
export const readInteger = (element: DerElement | undefined, what: string): Result.Result<bigint, DerFault> =>
  Result.flatMap(expectTag(element, Tag.integer, what), ({ contents, offset }) => {
    const [first, second] = contents
    if (first === undefined) return fault(offset, `${what}: an empty INTEGER`)
    // X.690 §8.3.2: the first nine bits are not all alike.
    if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
      return fault(offset, `${what}: an INTEGER in more octets than it needs`)
    }
    const magnitude = contents.reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n)
    return Result.succeed(first < 0x80 ? magnitude : magnitude - (1n << BigInt(contents.length * 8)))
  })

/** X.690 §11.1: TRUE is 0xFF and nothing else. */
export const readBoolean = (
  element: DerElement | undefined,
  what: string
): Result.Result<boolean, DerFault> =>
  Result.flatMap(expectTag(element, Tag.boolean, what), ({ contents, offset }) => {
    const [octet] = contents
    if (contents.length !== 1 || (octet !== 0 && octet !== 0xff))
      return fault(offset, `${what}: not a DER BOOLEAN`)
    return Result.succeed(octet === 0xff)
  })

export interface BitString {
  readonly unusedBits: number
  readonly bytes: Uint8Array
}

/** X.690 §8.6 and §11.2: at most seven unused bits, and all of them zero. */
export const readBitString = (
  element: DerElement | undefined,
  what: string
): Result.Result<BitString, DerFault> =>
  Result.flatMap(expectTag(element, Tag.bitString, what), ({ contents, offset }) => {
    const [unusedBits] = contents
    const bytes = contents.subarray(1)
    if (unusedBits === undefined || unusedBits > 7 || (bytes.length === 0 && unusedBits > 0)) {
      return fault(offset, `${what}: not a BIT STRING`)
    }
    const last = bytes.at(-1) ?? 0
    if ((last & ((1 << unusedBits) - 1)) !== 0) return fault(offset, `${what}: unused bits that are not zero`)
    return Result.succeed({ unusedBits, bytes })
  })

const ascii = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")

/** RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime after, both in whole seconds and Zulu. */
export const readTime = (element: DerElement | undefined, what: string): Result.Result<Date, DerFault> => {
  if (element === undefined) return fault(0, `${what} is missing`)
  const { contents, offset, tag } = element
  const text = ascii(contents)
  const short = tag === Tag.utcTime
  if (!short && tag !== Tag.generalizedTime)
    return fault(offset, `${what}: expected a time, found ${hex(tag)}`)
  const match = (
    short ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/ : /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/
  ).exec(text)
  if (match === null) return fault(offset, `${what}: not a time of RFC 5280`)
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number)
  // RFC 5280 §4.1.2.5.1: two digits from 50 on are of the 20th century.
  const fullYear = short ? (year >= 50 ? 1900 : 2000) + year : year
  const date = new Date(Date.UTC(2000, month - 1, day, hour, minute, second))
  date.setUTCFullYear(fullYear, month - 1, day)
  const same =
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute &&
    date.getUTCSeconds() === second
  return same ? Result.succeed(date) : fault(offset, `${what}: no such time`)
}
