/** Distinguished names and subject alternative names: decoded for comparison and for people. */

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

export interface AlternativeName {
  readonly type: "URI" | "DNS" | "IP" | "email" | "other"
  readonly value: string
}

export const formatAlternativeNames = (names: ReadonlyArray<AlternativeName>): string =>
  names.length === 0 ? "(none)" : names.map(({ type, value }) => `${type}:${value}`).join(", ")
