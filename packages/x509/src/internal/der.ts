/**
 * Reads DER (X.690) for the readers of this package, and never past the element that it is in. A fault is thrown: a
 * certificate has about a hundred elements, and to wrap each of them takes longer than to read it. `attempt` turns a whole
 * reading into one `Result`, so that nothing is thrown at whoever uses the package.
 */
import { Result } from "effect"
import { bufferOver } from "./bufferOver.ts"

/** Why a run of bytes is not the DER that is wanted there; `message` names the octet. */
export interface DerFault {
  readonly offset: number
  readonly message: string
}

/** A fault on its way to `attempt`. */
export class DerError extends Error {
  readonly offset: number

  constructor(offset: number, message: string) {
    super(message)
    this.offset = offset
  }
}

/** What the reading came to; an exception of any other kind is a defect and remains one. */
export const attempt = <A>(read: () => A): Result.Result<A, DerFault> => {
  try {
    return Result.succeed(read())
  } catch (error) {
    if (error instanceof DerError) return Result.fail({ offset: error.offset, message: error.message })
    throw error
  }
}

/** Views of the octets are made when they are asked for: most elements are only walked through. */
export class DerElement {
  /** The identifier octet (X.690 §8.1.2): class, constructed bit and tag number below 31. */
  readonly tag: number
  /** Of the identifier octet, in the whole input. */
  readonly offset: number
  /** The whole input. */
  readonly input: Uint8Array
  readonly contentsStart: number
  /** After the last octet of the contents. */
  readonly end: number

  constructor(tag: number, offset: number, input: Uint8Array, contentsStart: number, end: number) {
    this.tag = tag
    this.offset = offset
    this.input = input
    this.contentsStart = contentsStart
    this.end = end
  }

  /** Identifier, length and contents. */
  get raw(): Uint8Array {
    return this.input.subarray(this.offset, this.end)
  }

  get contents(): Uint8Array {
    return this.input.subarray(this.contentsStart, this.end)
  }
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

const fault = (offset: number, message: string) => new DerError(offset, `${message} at octet ${offset}`)

/** The element that begins at `at` and ends before `limit`; what follows it is not looked at. */
export const readElement = (input: Uint8Array, at = 0, limit = input.length): DerElement => {
  const tag = at < limit ? input[at] : undefined
  if (tag === undefined) throw fault(at, "an element is missing")
  if ((tag & 0x1f) === 0x1f) throw fault(at, "a tag number above 30")
  const lengthAt = at + 1
  const first = lengthAt < limit ? input[lengthAt] : undefined
  if (first === undefined) throw fault(lengthAt, "the length is cut off")
  let length = first
  let start = lengthAt + 1
  if (first >= 0x80) {
    // X.690 §10.1: DER has definite lengths only.
    if (first === 0x80) throw fault(lengthAt, "indefinite length")
    const count = first & 0x7f
    if (count > 4) throw fault(lengthAt, `a length of ${count} octets`)
    if (start + count > limit) throw fault(lengthAt, "the length is cut off")
    length = 0
    for (const end = start + count; start < end; start += 1) length = length * 256 + (input[start] ?? 0)
    // X.690 §10.1: in the fewest octets.
    if (length < 0x80 || length < 256 ** (count - 1))
      throw fault(lengthAt, "a length in more octets than it needs")
  }
  if (start + length > limit) throw fault(at, `an element of ${length} octets is cut off`)
  return new DerElement(tag, at, input, start, start + length)
}

/** All elements inside one, to its last octet. */
export const childrenOf = ({ contentsStart, end, input }: DerElement): ReadonlyArray<DerElement> => {
  const children: Array<DerElement> = []
  for (let at = contentsStart; at < end;) {
    const child = readElement(input, at, end)
    children.push(child)
    at = child.end
  }
  return children
}

/** The one element that the input consists of. */
export const readWhole = (input: Uint8Array, tag: number): DerElement => {
  const element = readElement(input)
  if (element.tag !== tag) throw fault(0, `expected tag ${hex(tag)}, found ${hex(element.tag)}`)
  const rest = input.length - element.end
  if (rest > 0) throw fault(element.end, `${rest} trailing octets`)
  return element
}

export const expectTag = (element: DerElement | undefined, tag: number, what: string): DerElement => {
  if (element === undefined) throw fault(0, `${what} is missing`)
  if (element.tag !== tag)
    throw fault(element.offset, `${what}: expected tag ${hex(tag)}, found ${hex(element.tag)}`)
  return element
}

/** The children of an element of that tag. */
export const expectChildren = (
  element: DerElement | undefined,
  tag: number,
  what: string
): ReadonlyArray<DerElement> => childrenOf(expectTag(element, tag, what))

/** Seven octets have 49 bits, which a number holds; nine have 63. */
const readArc = (input: Uint8Array, from: number, to: number): number | bigint => {
  if (to - from > 7) {
    let arc = 0n
    for (let at = from; at < to; at += 1) arc = (arc << 7n) | BigInt((input[at] ?? 0) & 0x7f)
    return arc
  }
  let arc = 0
  for (let at = from; at < to; at += 1) arc = arc * 128 + ((input[at] ?? 0) & 0x7f)
  return arc
}

/** X.690 §8.19.4: the first two arcs share one number. */
const firstArcs = (shared: number | bigint): string => {
  if (typeof shared === "bigint") return `2.${shared - 80n}`
  const root = shared < 40 ? 0 : shared < 80 ? 1 : 2
  return `${root}.${shared - root * 40}`
}

/** X.690 §8.19, in dotted form; arcs of up to 9 octets. */
export const readOid = (element: DerElement | undefined, what: string): string => {
  const { contentsStart, end, input, offset } = expectTag(element, Tag.objectIdentifier, what)
  if (contentsStart === end) throw fault(offset, `${what}: an empty OBJECT IDENTIFIER`)
  let text = ""
  let from = contentsStart
  for (let at = contentsStart; at < end; at += 1) {
    const octet = input[at] ?? 0
    // X.690 §8.19.2: the leading octet of an arc is not 0x80.
    if (at === from && octet === 0x80) throw fault(offset, `${what}: an arc with a leading zero`)
    if (at - from >= 9) throw fault(offset, `${what}: an arc above 2^63`)
    if (octet < 0x80) {
      const arc = readArc(input, from, at + 1)
      text = text === "" ? firstArcs(arc) : `${text}.${arc}`
      from = at + 1
    }
  }
  if (from !== end) throw fault(offset, `${what}: the last arc is cut off`)
  return text
}

/** X.690 §8.3, as an unbounded integer. */
export const readInteger = (element: DerElement | undefined, what: string): bigint => {
  const integer = expectTag(element, Tag.integer, what)
  const { contentsStart, end, input, offset } = integer
  const first = input[contentsStart] ?? 0
  const second = input[contentsStart + 1] ?? 0
  const octets = end - contentsStart
  if (octets === 0) throw fault(offset, `${what}: an empty INTEGER`)
  // X.690 §8.3.2: the first nine bits are not all alike.
  if (octets > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw fault(offset, `${what}: an INTEGER in more octets than it needs`)
  }
  // Versions and path lengths, which is most of them.
  if (octets === 1) return BigInt(first < 0x80 ? first : first - 0x100)
  const magnitude = BigInt(`0x${bufferOver(integer.contents).toString("hex")}`)
  return first < 0x80 ? magnitude : magnitude - (1n << BigInt(octets * 8))
}

/** X.690 §11.1: TRUE is 0xFF and nothing else. */
export const readBoolean = (element: DerElement | undefined, what: string): boolean => {
  const { contentsStart, end, input, offset } = expectTag(element, Tag.boolean, what)
  const octet = input[contentsStart]
  if (end - contentsStart !== 1 || (octet !== 0 && octet !== 0xff))
    throw fault(offset, `${what}: not a DER BOOLEAN`)
  return octet === 0xff
}

export interface BitString {
  readonly unusedBits: number
  readonly bytes: Uint8Array
}

/** X.690 §8.6 and §11.2: at most seven unused bits, and all of them zero. */
export const readBitString = (element: DerElement | undefined, what: string): BitString => {
  const { contentsStart, end, input, offset } = expectTag(element, Tag.bitString, what)
  const octets = end - contentsStart
  const unusedBits = input[contentsStart] ?? 0
  if (octets === 0 || unusedBits > 7 || (octets === 1 && unusedBits > 0)) {
    throw fault(offset, `${what}: not a BIT STRING`)
  }
  const last = input[end - 1] ?? 0
  if ((last & ((1 << unusedBits) - 1)) !== 0) throw fault(offset, `${what}: unused bits that are not zero`)
  return { unusedBits, bytes: input.subarray(contentsStart + 1, end) }
}

/** Not a digit: more than any two of them. */
const noDigits = 100

const twoDigits = (input: Uint8Array, at: number): number => {
  const tens = (input[at] ?? 0) - 0x30
  const units = (input[at + 1] ?? 0) - 0x30
  return tens >= 0 && tens <= 9 && units >= 0 && units <= 9 ? tens * 10 + units : noDigits
}

/** RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime after, both in whole seconds and Zulu. */
export const readTime = (element: DerElement | undefined, what: string): Date => {
  if (element === undefined) throw fault(0, `${what} is missing`)
  const { contentsStart, end, input, offset, tag } = element
  const short = tag === Tag.utcTime
  if (!short && tag !== Tag.generalizedTime)
    throw fault(offset, `${what}: expected a time, found ${hex(tag)}`)
  const malformed = `${what}: not a time of RFC 5280`
  const monthAt = contentsStart + (short ? 2 : 4)
  if (end !== monthAt + 11 || input[end - 1] !== 0x5a) throw fault(offset, malformed)
  const century = short ? 0 : twoDigits(input, contentsStart)
  const ofCentury = twoDigits(input, monthAt - 2)
  const month = twoDigits(input, monthAt)
  const day = twoDigits(input, monthAt + 2)
  const hour = twoDigits(input, monthAt + 4)
  const minute = twoDigits(input, monthAt + 6)
  const second = twoDigits(input, monthAt + 8)
  if (Math.max(century, ofCentury, month, day, hour, minute, second) === noDigits)
    throw fault(offset, malformed)
  // RFC 5280 §4.1.2.5.1: two digits from 50 on are of the 20th century.
  const year = short ? (ofCentury >= 50 ? 1900 : 2000) + ofCentury : century * 100 + ofCentury
  const date = new Date(Date.UTC(2000, 0, 1, hour, minute, second))
  // Date.UTC takes the years below 100 for those of the 20th century.
  date.setUTCFullYear(year, month - 1, day)
  const same =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60
  if (!same) throw fault(offset, `${what}: no such time`)
  return date
}
