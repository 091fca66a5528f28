/** PEM (RFC 7468): strict about what lies between the lines, tolerant of white space around blocks. */
import { Result } from "effect"
import { bufferOver } from "./internal/bufferOver.ts"

export interface PemBlock {
  readonly label: string
  readonly der: Uint8Array
  /** In lines of 64 characters, however it was laid out. */
  readonly pem: string
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

/** RFC 7468 §2: lines of 64 characters, and a newline at the end. */
export const formatPem = (label: string, der: Uint8Array): string => {
  const base64 = bufferOver(der).toString("base64")
  let lines = ""
  for (let at = 0; at < base64.length; at += 64) lines += `${base64.slice(at, at + 64)}\n`
  return `-----BEGIN ${label}-----\n${lines === "" ? "\n" : lines}-----END ${label}-----\n`
}

/** Undefined: what stands in the block is not base64. */
const decodeBlock = (label: string, block: string, body: string): PemBlock | undefined => {
  const decoded = new Uint8Array(Buffer.from(body, "base64"))
  const formatted = formatPem(label, decoded)
  // Most blocks are as they would be written here, and what an encoder makes is base64.
  if (decoded.length > 0 && formatted === `${block}\n`) return { label, der: decoded, pem: formatted }
  const base64 = body.replaceAll(/[\r\n\t ]/g, "")
  // RFC 7468 §3: canonical base64 with padding; Buffer would skip what is not.
  if (base64 === "" || base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined
  const der = new Uint8Array(Buffer.from(base64, "base64"))
  return { label, der, pem: formatPem(label, der) }
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
    const decoded = decodeBlock(label, whole, body)
    if (decoded === undefined) return Result.fail(`the block ${label} is not base64`)
    blocks.push(decoded)
    at += whole.length
    while (/\s/.test(trimmed[at] ?? "x")) at += 1
  }
  return blocks.length === 0 ? Result.fail("there is no PEM block") : Result.succeed(blocks)
}

export const looksLikePem = (text: string): boolean => text.includes("-----BEGIN ")
