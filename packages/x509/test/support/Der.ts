/** Writes DER (X.690), also such DER as no tool would write. It shares nothing with the reader that it tests. */

const bytes = (text: string) => Buffer.from(text, "latin1")

/** §8.1.3: the definite form, short where it fits. */
const lengthOctets = (length: number): Buffer => {
  if (length < 0x80) return Buffer.of(length)
  const hex = length.toString(16)
  const octets = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex")
  return Buffer.concat([Buffer.of(0x80 | octets.length), octets])
}

export const element = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const contents = Buffer.concat(parts)
  return new Uint8Array(Buffer.concat([Buffer.of(tag), lengthOctets(contents.length), contents]))
}

export const sequence = (...parts: ReadonlyArray<Uint8Array>) => element(0x30, ...parts)
export const set = (...parts: ReadonlyArray<Uint8Array>) => element(0x31, ...parts)
export const utf8 = (text: string) => element(0x0c, Buffer.from(text, "utf8"))
export const printable = (text: string) => element(0x13, bytes(text))
export const octetString = (value: Uint8Array) => element(0x04, value)
export const bitString = (value: Uint8Array, unusedBits = 0) => element(0x03, Buffer.of(unusedBits), value)
export const boolean = (value: boolean) => element(0x01, Buffer.of(value ? 0xff : 0))
export const nothing = element(0x05)

/** §8.3: in the fewest octets, for numbers that are not negative. */
export const integer = (value: bigint) => {
  const hex = value.toString(16)
  const octets = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex")
  return element(0x02, (octets[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), octets]) : octets)
}

const arc = (value: number): ReadonlyArray<number> => {
  const octets = [value & 0x7f]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    octets.unshift(0x80 | (rest & 0x7f))
  return octets
}

/** §8.19 */
export const oid = (dotted: string) => {
  const [first = 0, second = 0, ...others] = dotted.split(".").map(Number)
  return element(0x06, Uint8Array.from([first * 40 + second, ...others].flatMap(arc)))
}

/** RFC 5280 §4.1.2.4: one attribute in each RelativeDistinguishedName. */
export const name = (...attributes: ReadonlyArray<readonly [string, Uint8Array]>) =>
  sequence(...attributes.map(([type, value]) => set(sequence(oid(type), value))))

export const commonName = (text: string) => name(["2.5.4.3", utf8(text)])

/** RFC 5280 §4.1: critical is left out where it is FALSE. */
export const extension = (type: string, value: Uint8Array, critical = false) =>
  sequence(oid(type), ...(critical ? [boolean(true)] : []), octetString(value))

/** RFC 5280 §4.2.1.6, by context tag: 0x81 email, 0x82 DNS, 0x86 URI, 0x87 IP. */
export const generalNames = (...names: ReadonlyArray<readonly [number, string]>) =>
  sequence(...names.map(([tag, text]) => element(tag, bytes(text))))

/** The elements inside one that was written here or by a certificate library: short and long definite lengths. */
export const membersOf = (whole: Uint8Array): ReadonlyArray<Uint8Array> => {
  const headerAt = (at: number) => {
    const first = whole[at + 1] ?? 0
    if (first < 0x80) return { start: at + 2, length: first }
    const octets = whole.subarray(at + 2, at + 2 + (first & 0x7f))
    return {
      start: at + 2 + octets.length,
      length: octets.reduce((length, octet) => length * 256 + octet, 0)
    }
  }
  const members: Array<Uint8Array> = []
  for (let at = headerAt(0).start; at < whole.length;) {
    const { length, start } = headerAt(at)
    members.push(whole.subarray(at, start + length))
    at = start + length
  }
  return members
}
