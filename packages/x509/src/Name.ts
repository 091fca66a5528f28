/** Distinguished names and subject alternative names: decoded for comparison and for people. */
import { Result } from "effect"
import {
  childrenOf,
  type DerElement,
  type DerFault,
  expectChildren,
  expectTag,
  readElement,
  readOid,
  Tag
} from "./DerReader.ts"
import { oidName } from "./Oid.ts"

export interface NameAttribute {
  readonly oid: string
  readonly value: string
}

export interface Name {
  readonly der: Uint8Array
  /** RFC 5280 §4.1.2.4: a sequence of sets of attributes, in the order of the encoding. */
  readonly rdns: ReadonlyArray<ReadonlyArray<NameAttribute>>
  /** For people, most significant first: `O=Example, CN=name`; `(empty)` for no attribute. */
  readonly text: string
}

/** X.680: the string types of DirectoryString and the IA5String of emailAddress and DC. */
const stringEncodings: { readonly [tag: number]: "utf8" | "latin1" | "utf16be" } = {
  0x0c: "utf8",
  0x13: "latin1",
  0x14: "latin1",
  0x16: "latin1",
  0x1e: "utf16be"
}

const decodeText = ({ contents, tag }: DerElement): string => {
  const encoding = stringEncodings[tag]
  if (encoding === undefined) return `#${Buffer.from(contents).toString("hex")}`
  if (encoding !== "utf16be") return Buffer.from(contents).toString(encoding)
  return contents.length % 2 === 0
    ? Buffer.from(contents).swap16().toString("utf16le")
    : `#${Buffer.from(contents).toString("hex")}`
}

/** What breaks a line, moves the cursor or turns the direction of writing could forge what a person reads. */
const printable = (text: string) =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")
    return code.length > 4 ? `\\u{${code}}` : `\\u${code}`
  })

export const readName = (element: DerElement | undefined, what: string): Result.Result<Name, DerFault> =>
  Result.gen(function* () {
    const sequence = yield* expectTag(element, Tag.sequence, what)
    const rdns: Array<ReadonlyArray<NameAttribute>> = []
    for (const set of yield* childrenOf(sequence)) {
      const attributes: Array<NameAttribute> = []
      for (const attribute of yield* expectChildren(set, Tag.set, what)) {
        const [type, value, ...more] = yield* expectChildren(attribute, Tag.sequence, what)
        const oid = yield* readOid(type, what)
        if (value === undefined || more.length > 0)
          return yield* Result.fail({
            offset: attribute.offset,
            message: `${what}: an attribute of ${value === undefined ? 1 : 2 + more.length} members`
          })
        attributes.push({ oid, value: decodeText(value) })
      }
      rdns.push(attributes)
    }
    const text = rdns
      .map((rdn) => rdn.map(({ oid, value }) => `${oidName(oid)}=${printable(value)}`).join("+"))
      .join(", ")
    return { der: sequence.raw, rdns, text: text === "" ? "(empty)" : text }
  })

export interface AlternativeName {
  readonly type: "URI" | "DNS" | "IP" | "email" | "other"
  readonly value: string
}

const ipText = (octets: Uint8Array): string => {
  if (octets.length === 4) return octets.join(".")
  const groups = Array.from({ length: Math.floor(octets.length / 2) }, (_, index) =>
    (((octets[2 * index] ?? 0) << 8) | (octets[2 * index + 1] ?? 0)).toString(16)
  )
  return octets.length === 16 ? groups.join(":") : `#${Buffer.from(octets).toString("hex")}`
}

/** RFC 5280 §4.2.1.6: the context tags of GeneralName. */
const readAlternativeName = ({ contents, tag }: DerElement): AlternativeName => {
  const text = printable(Buffer.from(contents).toString("latin1"))
  switch (tag) {
    case 0x86:
      return { type: "URI", value: text }
    case 0x82:
      return { type: "DNS", value: text }
    case 0x81:
      return { type: "email", value: text }
    case 0x87:
      return { type: "IP", value: ipText(contents) }
    default:
      return { type: "other", value: `[${tag & 0x1f}] ${Buffer.from(contents).toString("hex")}` }
  }
}

/** The value of a subjectAltName extension. */
export const readAlternativeNames = (
  value: Uint8Array
): Result.Result<ReadonlyArray<AlternativeName>, DerFault> =>
  Result.gen(function* () {
    const element = yield* readElement(value)
    if (element.raw.length !== value.length) {
      return yield* Result.fail({ offset: element.raw.length, message: "subjectAltName: trailing octets" })
    }
    const names = yield* expectChildren(element, Tag.sequence, "subjectAltName")
    return names.map(readAlternativeName)
  })

export const formatAlternativeNames = (names: ReadonlyArray<AlternativeName>): string =>
  names.length === 0 ? "(none)" : names.map(({ type, value }) => `${type}:${value}`).join(", ")
