/** PEM (RFC 7468): strict about what lies between the lines, tolerant of white space around blocks. */
import { Result } from "effect"

export interface PemBlock {
  readonly label: string
  readonly der: Uint8Array
}

const block = /-----BEGIN ([A-Z0-9 ]{1,64})-----([\s\S]*?)-----END ([A-Z0-9 ]{1,64})-----/y

/** RFC 7468 §2 lets text stand before a block, as in the output of openssl x509 -text; what is not checked is refused. */
const unexpected = (text: string, at: number): string => {
  if (at > 0) return "text stands between or after the PEM blocks"
  block.lastIndex = text.indexOf("-----BEGIN ")
  return block.lastIndex > 0 && block.test(text)
    ? "text stands before the PEM block: remove it"
    : "there is no PEM block"
}

/** All blocks of a text that holds nothing else but white space. */
export const parsePem = (text: string): Result.Result<ReadonlyArray<PemBlock>, string> => {
  const blocks: Array<PemBlock> = []
  const trimmed = text.trim()
  for (let at = 0; at < trimmed.length;) {
    block.lastIndex = at
    const match = block.exec(trimmed)
    if (match === null) return Result.fail(unexpected(trimmed, at))
    const [whole, label = "", body = "", end] = match
    if (label !== end) return Result.fail(`BEGIN ${label} is closed by END ${end}`)
    const base64 = body.replaceAll(/[\r\n\t ]/g, "")
    // RFC 7468 §3: canonical base64 with padding; Buffer would skip what is not.
    if (base64 === "" || base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
      return Result.fail(`the block ${label} is not base64`)
    }
    blocks.push({ label, der: new Uint8Array(Buffer.from(base64, "base64")) })
    at += whole.length
    while (/\s/.test(trimmed[at] ?? "x")) at += 1
  }
  return blocks.length === 0 ? Result.fail("there is no PEM block") : Result.succeed(blocks)
}

/** RFC 7468 §2: lines of 64 characters, and a newline at the end. */
export const formatPem = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${(
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  ).join("\n")}\n-----END ${label}-----\n`

export const looksLikePem = (text: string): boolean => text.includes("-----BEGIN ")
