/** Distinguished names (RFC 5280 §4.1.2.4) and alternative names (§4.2.1.6) out of DER. */
import type { AlternativeName, Name, NameAttribute } from "../Name.ts"
import { oidName } from "../Oid.ts"
import { bufferOver } from "./bufferOver.ts"
import {
  childrenOf,
  DerError,
  type DerElement,
  expectChildren,
  expectTag,
  readElement,
  readOid,
  Tag
} from "./der.ts"

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
  const octets = bufferOver(contents)
  if (encoding === undefined) return `#${octets.toString("hex")}`
  if (encoding !== "utf16be") return octets.toString(encoding)
  return octets.length % 2 === 0
    ? Buffer.from(octets).swap16().toString("utf16le")
    : `#${octets.toString("hex")}`
}

const isPlain = (text: string) => /^[\x20-\x7e]*$/.test(text)

/** What breaks a line, moves the cursor or turns the direction of writing could forge what a person reads. */
const printable = (text: string) =>
  isPlain(text)
    ? text
    : text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
        const code = (character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")
        return code.length > 4 ? `\\u{${code}}` : `\\u${code}`
      })

const readAttribute = (attribute: DerElement, what: string): NameAttribute => {
  const members = expectChildren(attribute, Tag.sequence, what)
  const [type, value] = members
  const oid = readOid(type, what)
  if (value === undefined || members.length > 2)
    throw new DerError(attribute.offset, `${what}: an attribute of ${members.length} members`)
  return { oid, value: decodeText(value) }
}

export const readName = (element: DerElement | undefined, what: string): Name => {
  const sequence = expectTag(element, Tag.sequence, what)
  const rdns = childrenOf(sequence).map((set) =>
    expectChildren(set, Tag.set, what).map((attribute) => readAttribute(attribute, what))
  )
  const text = rdns
    .map((rdn) => rdn.map(({ oid, value }) => `${oidName(oid)}=${printable(value)}`).join("+"))
    .join(", ")
  return { der: sequence.raw, rdns, text: text === "" ? "(empty)" : text }
}

const ipText = (octets: Uint8Array): string => {
  if (octets.length === 4) return octets.join(".")
  const groups = Array.from({ length: Math.floor(octets.length / 2) }, (_, index) =>
    (((octets[2 * index] ?? 0) << 8) | (octets[2 * index + 1] ?? 0)).toString(16)
  )
  return octets.length === 16 ? groups.join(":") : `#${bufferOver(octets).toString("hex")}`
}

/** RFC 5280 §4.2.1.6: the context tags of GeneralName. */
const readAlternativeName = ({ contents, tag }: DerElement): AlternativeName => {
  const octets = bufferOver(contents)
  switch (tag) {
    case 0x86:
      return { type: "URI", value: printable(octets.toString("latin1")) }
    case 0x82:
      return { type: "DNS", value: printable(octets.toString("latin1")) }
    case 0x81:
      return { type: "email", value: printable(octets.toString("latin1")) }
    case 0x87:
      return { type: "IP", value: ipText(contents) }
    default:
      return { type: "other", value: `[${tag & 0x1f}] ${octets.toString("hex")}` }
  }
}

/** The value of a subjectAltName extension. */
export const readAlternativeNames = (value: Uint8Array): ReadonlyArray<AlternativeName> => {
  const element = readElement(value)
  if (element.end !== value.length) throw new DerError(element.end, "subjectAltName: trailing octets")
  return expectChildren(element, Tag.sequence, "subjectAltName").map(readAlternativeName)
}
